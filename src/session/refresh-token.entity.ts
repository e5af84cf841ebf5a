import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/**
 * The refresh state of a session: one row per session, however often it is refreshed. All refresh tokens of a session
 * share one family, so that an old token that comes back is recognised as a replay.
 */
@Entity('refresh_tokens')
@Index('refresh_tokens_family_idx', ['userId', 'family'], { unique: true })
@Index('refresh_tokens_client_idx', ['oauthClientId'], { where: 'oauth_client_id IS NOT NULL' })
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'refresh_tokens_device_fkey',
  onDelete: 'CASCADE',
})
@ForeignKey('OAuthClientEntity', ['oauthClientId'], ['clientId'], { name: 'refresh_tokens_client_fkey' })
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

  /** SHA-256 of the previous refresh token, until a token of the pair that replaced it is used. */
  @Column({ name: 'previous_digest', type: 'bytea', nullable: true })
  previousDigest!: Buffer | null;

  /** SHA-256 of the refresh token that was issued first, if the last refresh was retried and issued another one. */
  @Column({ name: 'superseded_digest', type: 'bytea', nullable: true })
  supersededDigest!: Buffer | null;

  /**
   * SHA-256 of the most recently spent refresh tokens, latest first. A client that shares its tokens may present one
   * late.
   */
  @Column({ name: 'retired_digests', type: 'bytea', array: true, default: '{}' })
  retiredDigests!: Buffer[];

  /** When each of them was spent: when a token of the pair that replaced it was first used. */
  @Column({ name: 'retired_at', type: 'timestamptz', array: true, default: '{}' })
  retiredAt!: Date[];

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** When the session was last refreshed, or when it ended. */
  @Column({ name: 'rotated_at', type: 'timestamptz' })
  rotatedAt!: Date;

  /** The OAuth 2.0 client of the session; `null`: it began by the login API. */
  @Column({ name: 'oauth_client_id', type: 'text', nullable: true })
  oauthClientId!: string | null;

  /** The scope of an OAuth 2.0 session, as its client asked for it. */
  @Column({ name: 'oauth_scope', type: 'text', nullable: true })
  oauthScope!: string | null;

  /** The session in `session_families`; only OAuth 2.0 sessions have it. */
  @Column({ name: 'session_digest', type: 'bytea', nullable: true })
  sessionDigest!: Buffer | null;

  /** Why the session ended although its device stayed; `null` while the session is alive. */
  @Column({ name: 'ended_reason', type: 'text', nullable: true })
  endedReason!: string | null;
}
