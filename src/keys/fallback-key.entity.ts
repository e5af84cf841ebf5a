import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';

/** The fallback key of an algorithm, which is handed out when no one-time key is left. */
@Entity('fallback_keys')
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'fallback_keys_device_fkey',
  onDelete: 'CASCADE',
})
export class FallbackKeyEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'fallback_keys_pkey' })
  userId!: string;

  @PrimaryColumn({ name: 'device_id', type: 'text', primaryKeyConstraintName: 'fallback_keys_pkey' })
  deviceId!: string;

  @PrimaryColumn({ name: 'algorithm', type: 'text', primaryKeyConstraintName: 'fallback_keys_pkey' })
  algorithm!: string;

  @Column({ name: 'key_id', type: 'text' })
  keyId!: string;

  /** The key as it was uploaded. */
  @Column({ name: 'key', type: 'jsonb' })
  key!: string | object;

  /** Whether the key has been handed out since it was uploaded. */
  @Column({ name: 'used', type: 'boolean' })
  used!: boolean;

  @Column({ name: 'uploaded_at', type: 'timestamptz' })
  uploadedAt!: Date;
}
