import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';

/** A device of a user. Everything that belongs to it references this row and is deleted with it. */
@Entity('devices')
@ForeignKey('AccountEntity', ['userId'], ['userId'], { name: 'devices_account_fkey' })
export class DeviceEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'devices_pkey' })
  userId!: string;

  @PrimaryColumn({ name: 'device_id', type: 'text', primaryKeyConstraintName: 'devices_pkey' })
  deviceId!: string;

  @Column({ name: 'display_name', type: 'text', nullable: true })
  displayName!: string | null;

  /** Tells a device from an earlier one with the same ID. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** When it last made a request; may lag by a minute. */
  @Column({ name: 'last_seen_at', type: 'timestamptz', nullable: true })
  lastSeenAt!: Date | null;

  @Column({ name: 'last_seen_ip', type: 'text', nullable: true })
  lastSeenIp!: string | null;

  @Column({ name: 'last_seen_user_agent', type: 'text', nullable: true })
  lastSeenUserAgent!: string | null;
}
