import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';

/** The identity keys of a device, with the signatures that came with them. */
@Entity('device_keys')
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'device_keys_device_fkey',
  onDelete: 'CASCADE',
})
export class DeviceKeysEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'device_keys_pkey' })
  userId!: string;

  @PrimaryColumn({ name: 'device_id', type: 'text', primaryKeyConstraintName: 'device_keys_pkey' })
  deviceId!: string;

  /** The `DeviceKeys` object as it was uploaded. */
  @Column({ name: 'keys', type: 'jsonb' })
  keys!: object;

  @Column({ name: 'uploaded_at', type: 'timestamptz' })
  uploadedAt!: Date;
}
