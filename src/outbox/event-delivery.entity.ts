import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

export type DeliveryState = 'pending' | 'delivered' | 'buried';

const PRIMARY_KEY = 'event_deliveries_pkey';

/** The delivery of one user's part of one event to one subscriber. */
@Entity('event_deliveries')
@Index('event_deliveries_due_idx', ['subscriber', 'nextAttemptAt'], { where: "state = 'pending'" })
@Index('event_deliveries_waiting_idx', ['userId', 'subscriber', 'position', 'ordinal'], {
  where: "state = 'pending'",
})
@Index('event_deliveries_settled_idx', ['state', 'settledAt'], { where: "state <> 'pending'" })
@Index('event_deliveries_event_idx', ['eventId'])
@Index('event_deliveries_leased_idx', ['userId', 'subscriber'], { where: 'lease IS NOT NULL' })
export class EventDeliveryEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'subscriber', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  subscriber!: string;

  /** The database's clock in microseconds at the end of the transaction, while it held its locks; never decreases. */
  @PrimaryColumn({ name: 'position', type: 'bigint', primaryKeyConstraintName: PRIMARY_KEY })
  position!: string;

  /** The order within one transaction. */
  @PrimaryColumn({ name: 'ordinal', type: 'integer', primaryKeyConstraintName: PRIMARY_KEY })
  ordinal!: number;

  @PrimaryColumn({ name: 'event_id', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  eventId!: string;

  /** Name of the event. */
  @Column({ name: 'event', type: 'text' })
  event!: string;

  @Column({ name: 'payload', type: 'jsonb' })
  payload!: object;

  @Column({ name: 'occurred_at', type: 'timestamptz' })
  occurredAt!: Date;

  @Column({ name: 'state', type: 'text' })
  state!: DeliveryState;

  @Column({ name: 'attempts', type: 'integer' })
  attempts!: number;

  /** When the lease ends, while the delivery is leased. */
  @Column({ name: 'next_attempt_at', type: 'timestamptz' })
  nextAttemptAt!: Date;

  /** The ID of the lease: a process that has lost its lease can no longer settle the delivery. */
  @Column({ name: 'lease', type: 'text', nullable: true })
  lease!: string | null;

  /** When it was delivered or buried. */
  @Column({ name: 'settled_at', type: 'timestamptz', nullable: true })
  settledAt!: Date | null;

  @Column({ name: 'last_error', type: 'text', nullable: true })
  lastError!: string | null;

  /** Where the request that wrote it was recorded, as a W3C `traceparent`. */
  @Column({ name: 'trace_parent', type: 'text', nullable: true })
  traceParent!: string | null;
}
