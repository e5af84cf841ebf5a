import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Who is behind an account: a person, a guest without a password, or an application service's user. */
export type AccountKind = 'user' | 'guest' | 'appservice';

/** A local user. Its row is also the lock that orders a login and a logout of all devices. */
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

  /** When the account was deactivated: nobody can log in any more, and the name stays taken. */
  @Column({ name: 'deactivated_at', type: 'timestamptz', nullable: true })
  deactivatedAt!: Date | null;

  /** When an administrator locked the user out. Sessions stay, and may still be ended. */
  @Column({ name: 'locked_at', type: 'timestamptz', nullable: true })
  lockedAt!: Date | null;

  /** When an administrator suspended the user, who can then not act on others. */
  @Column({ name: 'suspended_at', type: 'timestamptz', nullable: true })
  suspendedAt!: Date | null;

  /** Whether the user is an administrator, besides those of `SERVER_ADMINS`. */
  @Column({ name: 'is_admin', type: 'boolean', default: false })
  isAdmin!: boolean;
}
