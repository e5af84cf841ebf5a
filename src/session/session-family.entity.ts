import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/**
 * A session that began on a device that still exists. While this row exists, the spent, replaced or expired tokens of
 * the session are refused with a soft logout, so that the client keeps its encryption keys ("Soft logout").
 */
@Entity('session_families')
@Index('session_families_device_idx', ['userId', 'deviceId'])
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'session_families_device_fkey',
  onDelete: 'CASCADE',
})
export class SessionFamilyEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'session_families_pkey' })
  userId!: string;

  /** SHA-256 of what all tokens of the session share. */
  @PrimaryColumn({ name: 'family', type: 'bytea', primaryKeyConstraintName: 'session_families_pkey' })
  family!: Buffer;

  @Column({ name: 'device_id', type: 'text' })
  deviceId!: string;

  @Column({ name: 'started_at', type: 'timestamptz' })
  startedAt!: Date;
}
