import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/** A token that lets another client of the user log in once. It is deleted with the device that requested it. */
@Entity('login_tokens')
@Index('login_tokens_device_idx', ['userId', 'deviceId'])
@Index('login_tokens_expiry_idx', ['expiresAt'])
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'login_tokens_device_fkey',
  onDelete: 'CASCADE',
})
export class LoginTokenEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'login_tokens_pkey' })
  userId!: string;

  /** SHA-256 of the token. */
  @PrimaryColumn({ name: 'token_digest', type: 'bytea', primaryKeyConstraintName: 'login_tokens_pkey' })
  tokenDigest!: Buffer;

  @Column({ name: 'device_id', type: 'text' })
  deviceId!: string;

  @Column({ name: 'expires_at', type: 'timestamptz' })
  expiresAt!: Date;
}
