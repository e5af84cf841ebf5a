import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/** A signature over a device or a cross-signing key of a user that did not come with the device's own upload. */
@Entity('key_signatures')
@Index('key_signatures_device_idx', ['userId', 'deviceId'])
@Index('key_signatures_signer_idx', ['signerUserId'], { where: 'signer_user_id <> user_id' })
@ForeignKey('AccountEntity', ['userId'], ['userId'], { name: 'key_signatures_account_fkey' })
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'key_signatures_device_fkey',
  onDelete: 'CASCADE',
})
export class KeySignatureEntity {
  /** Whose device or key is signed. */
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'key_signatures_pkey' })
  userId!: string;

  /** Second in the key: others' signatures are shown to nobody, and there may be many. */
  @PrimaryColumn({ name: 'signer_user_id', type: 'text', primaryKeyConstraintName: 'key_signatures_pkey' })
  signerUserId!: string;

  /** What is signed: a device ID or a public key, which are never the same. */
  @PrimaryColumn({ name: 'target', type: 'text', primaryKeyConstraintName: 'key_signatures_pkey' })
  target!: string;

  /** The key it was made with, such as `ed25519:DEVICE`. */
  @PrimaryColumn({ name: 'key_id', type: 'text', primaryKeyConstraintName: 'key_signatures_pkey' })
  keyId!: string;

  /** The device of the user that is signed or that signs, which takes the signature along when it goes. */
  @Column({ name: 'device_id', type: 'text', nullable: true })
  deviceId!: string | null;

  @Column({ name: 'signature', type: 'text' })
  signature!: string;
}
