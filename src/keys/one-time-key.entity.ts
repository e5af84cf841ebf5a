import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/**
 * A key that another device may claim once. Its row is kept until the device is deleted, even after a claim, so that
 * a claimed key is recognised when it is uploaded again.
 */
@Entity('one_time_keys')
@Index('one_time_keys_unclaimed_idx', ['userId', 'deviceId', 'algorithm', 'batch', 'keyId'], {
  where: 'claimed_at IS NULL',
})
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'one_time_keys_device_fkey',
  onDelete: 'CASCADE',
})
export class OneTimeKeyEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'one_time_keys_pkey' })
  userId!: string;

  @PrimaryColumn({ name: 'device_id', type: 'text', primaryKeyConstraintName: 'one_time_keys_pkey' })
  deviceId!: string;

  @PrimaryColumn({ name: 'algorithm', type: 'text', primaryKeyConstraintName: 'one_time_keys_pkey' })
  algorithm!: string;

  @PrimaryColumn({ name: 'key_id', type: 'text', primaryKeyConstraintName: 'one_time_keys_pkey' })
  keyId!: string;

  /** The key as it was uploaded: a string, or an object with `key` and `signatures`. */
  @Column({ name: 'key', type: 'jsonb' })
  key!: string | object;

  @Column({ name: 'uploaded_at', type: 'timestamptz' })
  uploadedAt!: Date;

  /**
   * Higher than the batch of every key that was unclaimed at the upload. Keys of the lowest batch are claimed first.
   */
  @Column({ name: 'batch', type: 'bigint' })
  batch!: string;

  @Column({ name: 'claimed_at', type: 'timestamptz', nullable: true })
  claimedAt!: Date | null;
}
