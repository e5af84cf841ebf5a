import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { KeyUsage } from './cross-signing.rules.js';

/**
 * A key that a user signs devices or other users with. It belongs to the user and outlives every device. When it is
 * replaced, its row stays for `DEVICE_LIST_RETENTION`; until then, no device may have it as its ID.
 */
@Entity('cross_signing_keys')
@Index('cross_signing_keys_current_idx', ['userId', 'usage'], { unique: true, where: 'replaced_at IS NULL' })
@Index('cross_signing_keys_replaced_idx', ['replacedAt'], { where: 'replaced_at IS NOT NULL' })
@ForeignKey('AccountEntity', ['userId'], ['userId'], { name: 'cross_signing_keys_account_fkey' })
export class CrossSigningKeyEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'cross_signing_keys_pkey' })
  userId!: string;

  /** Unpadded base64. */
  @PrimaryColumn({ name: 'public_key', type: 'text', primaryKeyConstraintName: 'cross_signing_keys_pkey' })
  publicKey!: string;

  @Column({ name: 'usage', type: 'text' })
  usage!: KeyUsage;

  /** The key as it was uploaded, without its signatures: those have rows of their own. */
  @Column({ name: 'key', type: 'jsonb' })
  key!: object;

  @Column({ name: 'uploaded_at', type: 'timestamptz' })
  uploadedAt!: Date;

  /** `null` while the key is the current one of its usage. */
  @Column({ name: 'replaced_at', type: 'timestamptz', nullable: true })
  replacedAt!: Date | null;
}
