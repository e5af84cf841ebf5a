import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Who is behind an account: a person, a guest without a password, or an application service's user. */
export type AccountKind = 'user' | 'guest' | 'appservice';

/** A local user. The row is also the lock that orders a login against a logout of all devices. */
@Entity('accounts')
export class AccountEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'accounts_pkey' })
  userId!: string;

  /** argon2id; `null` for an account that cannot log in with a password. */
  @Column({ name: 'password_hash', type: 'text', nullable: true })
  passwordHash!: string | null;

  @Column({ name: 'kind', type: 'text', default: 'user' })
  kind!: AccountKind;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** Since when nobody can log in any more; the name stays taken. */
  @Column({ name: 'deactivated_at', type: 'timestamptz', nullable: true })
  deactivatedAt!: Date | null;

  /** Since when an administrator keeps the user out; sessions stay, and may be ended. */
  @Column({ name: 'locked_at', type: 'timestamptz', nullable: true })
  lockedAt!: Date | null;

  /** Since when an administrator keeps the user from acting on others. */
  @Column({ name: 'suspended_at', type: 'timestamptz', nullable: true })
  suspendedAt!: Date | null;
}
