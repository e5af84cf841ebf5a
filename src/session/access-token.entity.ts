import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/** An access token. Only its digest is stored. An expired token is kept for a day, because it may still log out. */
@Entity('access_tokens')
@Index('access_tokens_device_idx', ['userId', 'deviceId'])
@Index('access_tokens_expiry_idx', ['expiresAt'], { where: 'expires_at IS NOT NULL' })
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'access_tokens_device_fkey',
  onDelete: 'CASCADE',
})
export class AccessTokenEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'access_tokens_pkey' })
  userId!: string;

  /** SHA-256 of the token. */
  @PrimaryColumn({ name: 'token_digest', type: 'bytea', primaryKeyConstraintName: 'access_tokens_pkey' })
  tokenDigest!: Buffer;

  @Column({ name: 'device_id', type: 'text' })
  deviceId!: string;

  /** Whether the first use of this token retires the refresh token that it was obtained with. */
  @Column({ name: 'confirms_rotation', type: 'boolean' })
  confirmsRotation!: boolean;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** Whether the session belongs to an OAuth 2.0 client. */
  @Column({ name: 'is_oauth', type: 'boolean', default: false })
  isOAuth!: boolean;

  /** `null`: it does not expire. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;
}
