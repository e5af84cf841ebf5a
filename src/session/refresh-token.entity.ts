import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/**
 * What a device may refresh with: one row for each session, however often it was refreshed. All refresh tokens
 * of a session name the same family, so that an old one that comes back is known for what it is: a replay.
 */
@Entity('refresh_tokens')
@Index('refresh_tokens_family_idx', ['userId', 'family'], { unique: true })
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'refresh_tokens_device_fkey',
  onDelete: 'CASCADE',
})
export class RefreshTokenEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'refresh_tokens_pkey' })
  userId!: string;

  @PrimaryColumn({ name: 'device_id', type: 'text', primaryKeyConstraintName: 'refresh_tokens_pkey' })
  deviceId!: string;

  /** SHA-256 of the part that all refresh tokens of the session share. */
  @Column({ name: 'family', type: 'bytea' })
  family!: Buffer;

  /** SHA-256 of the newest refresh token. */
  @Column({ name: 'current_digest', type: 'bytea' })
  currentDigest!: Buffer;

  /** SHA-256 of the one before, as long as neither token of its successor was used. */
  @Column({ name: 'previous_digest', type: 'bytea', nullable: true })
  previousDigest!: Buffer | null;

  /** SHA-256 of the newest one's elder sister, when the refresh before it was asked for twice. */
  @Column({ name: 'superseded_digest', type: 'bytea', nullable: true })
  supersededDigest!: Buffer | null;

  /**
   * SHA-256 of those that were spent last, the latest first: a client that shares its tokens may come late with
   * one.
   */
  @Column({ name: 'retired_digests', type: 'bytea', array: true, default: '{}' })
  retiredDigests!: Buffer[];

  /** When each of them was spent: when a token of its successor was used first. */
  @Column({ name: 'retired_at', type: 'timestamptz', array: true, default: '{}' })
  retiredAt!: Date[];

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** When it was last refreshed, or ended. */
  @Column({ name: 'rotated_at', type: 'timestamptz' })
  rotatedAt!: Date;

  /** Why the session ended while its device stayed; `null` while it lives. */
  @Column({ name: 'ended_reason', type: 'text', nullable: true })
  endedReason!: string | null;
}
