import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/** The states of a request for a device code. */
export type DeviceGrantState = 'pending' | 'approved' | 'refused';

/**
 * A device that waits for a user to type its code elsewhere. Nobody knows at first whose it is. Once approved, the
 * user's own row in `oauth_grants` decides.
 */
@Entity('oauth_device_grants')
@Index('oauth_device_grants_code_idx', ['userCode'], { unique: true })
@Index('oauth_device_grants_expiry_idx', ['expiresAt'])
@Index('oauth_device_grants_client_idx', ['clientId'])
@ForeignKey('OAuthClientEntity', ['clientId'], ['clientId'], { name: 'oauth_device_grants_client_fkey' })
export class OAuthDeviceGrantEntity {
  /** SHA-256 of the device code. */
  @PrimaryColumn({
    name: 'device_code_digest',
    type: 'bytea',
    primaryKeyConstraintName: 'oauth_device_grants_pkey',
  })
  deviceCodeDigest!: Buffer;

  /** Without its dash. */
  @Column({ name: 'user_code', type: 'text' })
  userCode!: string;

  @Column({ name: 'client_id', type: 'text' })
  clientId!: string;

  @Column({ name: 'scope', type: 'text' })
  scope!: string;

  @Column({ name: 'device_id', type: 'text' })
  deviceId!: string;

  @Column({ name: 'state', type: 'text' })
  state!: DeviceGrantState;

  /** Who has approved it. */
  @Column({ name: 'user_id', type: 'text', nullable: true })
  userId!: string | null;

  /** Where the device asked from. */
  @Column({ name: 'address', type: 'text' })
  address!: string;

  @Column({ name: 'user_agent', type: 'text', nullable: true })
  userAgent!: string | null;

  @Column({ name: 'issued_at', type: 'timestamptz' })
  issuedAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz' })
  expiresAt!: Date;

  /** How long the device must wait between two questions. */
  @Column({ name: 'interval_ms', type: 'integer' })
  intervalMs!: number;

  @Column({ name: 'polled_at', type: 'timestamptz', nullable: true })
  polledAt!: Date | null;
}
