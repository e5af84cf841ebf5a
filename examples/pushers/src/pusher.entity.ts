import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Where one device of a user wants to be told of events. */
@Entity('pushers')
export class PusherEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text' })
  userId!: string;

  @PrimaryColumn({ name: 'app_id', type: 'text' })
  appId!: string;

  @PrimaryColumn({ name: 'pushkey', type: 'text' })
  pushkey!: string;

  /** The device that set it, with which it goes. */
  @Column({ name: 'device_id', type: 'text' })
  deviceId!: string;

  /** As the client set it. */
  @Column({ name: 'pusher', type: 'jsonb' })
  pusher!: Record<string, unknown>;
}
