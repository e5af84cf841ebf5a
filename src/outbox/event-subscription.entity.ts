import { Column, Entity, PrimaryColumn } from 'typeorm';

const PRIMARY_KEY = 'event_subscriptions_pkey';

/** One event that a subscriber gets after its commit. */
@Entity('event_subscriptions')
export class EventSubscriptionEntity {
  @PrimaryColumn({ name: 'subscriber', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  subscriber!: string;

  /** Name of the event. */
  @PrimaryColumn({ name: 'event', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  event!: string;

  /** When a node last had this subscription. */
  @Column({ name: 'seen_at', type: 'timestamptz' })
  seenAt!: Date;
}
