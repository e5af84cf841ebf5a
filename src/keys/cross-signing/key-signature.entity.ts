import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/** A signature over a user's device or cross-signing key, except those in the device's own upload. */
@Entity('key_signatures')
@Index('key_signatures_device_idx', ['userId', 'deviceId'])
@Index('key_signatures_signer_idx', ['signerUserId'], { where: 'signer_user_id <> user_id' })
@ForeignKey('AccountEntity', ['userId'], ['userId'], { name: 'key_signatures_account_fkey' })
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'key_signatures_device_fkey',
  onDelete: 'CASCADE',
})
export class KeySignatureEntity {
  /** The user whose device or key is signed. */
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'key_signatures_pkey' })
  userId!: string;

  /** Second in the primary key: there may be many signatures by others, of which a reader sees only their own. */
  @PrimaryColumn({ name: 'signer_user_id', type: 'text', primaryKeyConstraintName: 'key_signatures_pkey' })
  signerUserId!: string;

  /** What is signed: a device ID or a public key, which are never the same. */
  @PrimaryColumn({ name: 'target', type: 'text', primaryKeyConstraintName: 'key_signatures_pkey' })
  target!: string;

  /** The key it was made with, such as `ed25519:DEVICE`. */
  @PrimaryColumn({ name: 'key_id', type: 'text', primaryKeyConstraintName: 'key_signatures_pkey' })
  keyId!: string;

  /** The user's device that is signed or that signs. The signature is deleted with it. */
  @Column({ name: 'device_id', type: 'text', nullable: true })
  deviceId!: string | null;

  @Column({ name: 'signature', type: 'text' })
  signature!: string;
}
