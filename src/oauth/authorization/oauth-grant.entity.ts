import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/** What a user has allowed a client, until the client fetches the tokens: once. */
@Entity('oauth_grants')
@Index('oauth_grants_expiry_idx', ['expiresAt'])
@Index('oauth_grants_client_idx', ['clientId'])
@ForeignKey('AccountEntity', ['userId'], ['userId'], { name: 'oauth_grants_user_fkey', onDelete: 'CASCADE' })
@ForeignKey('OAuthClientEntity', ['clientId'], ['clientId'], { name: 'oauth_grants_client_fkey' })
export class OAuthGrantEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'oauth_grants_pkey' })
  userId!: string;

  /** SHA-256 of the authorization code or the device code. */
  @PrimaryColumn({ name: 'grant_digest', type: 'bytea', primaryKeyConstraintName: 'oauth_grants_pkey' })
  grantDigest!: Buffer;

  @Column({ name: 'client_id', type: 'text' })
  clientId!: string;

  @Column({ name: 'scope', type: 'text' })
  scope!: string;

  @Column({ name: 'device_id', type: 'text' })
  deviceId!: string;

  /** That of the request, which the exchange must repeat; `null` for a device code. */
  @Column({ name: 'redirect_uri', type: 'text', nullable: true })
  redirectUri!: string | null;

  /** `null` for a device code. */
  @Column({ name: 'code_challenge', type: 'text', nullable: true })
  codeChallenge!: string | null;

  @Column({ name: 'issued_at', type: 'timestamptz' })
  issuedAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz' })
  expiresAt!: Date;

  @Column({ name: 'used_at', type: 'timestamptz', nullable: true })
  usedAt!: Date | null;

  /** The session that it began, so that a code that is used again can end it. */
  @Column({ name: 'session_digest', type: 'bytea', nullable: true })
  sessionDigest!: Buffer | null;
}
