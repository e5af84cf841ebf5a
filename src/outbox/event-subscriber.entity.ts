import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Somebody who hears of events after their commit. */
@Entity('event_subscribers')
export class EventSubscriberEntity {
  @PrimaryColumn({ name: 'name', type: 'text', primaryKeyConstraintName: 'event_subscribers_pkey' })
  name!: string;

  /** Names of events. */
  @Column({ name: 'events', type: 'text', array: true })
  events!: string[];

  /** When a node last had it. */
  @Column({ name: 'seen_at', type: 'timestamptz' })
  seenAt!: Date;
}
