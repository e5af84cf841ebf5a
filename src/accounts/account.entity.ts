import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A local user. The row is also the lock that orders a login against a logout of all devices. */
@Entity('accounts')
export class AccountEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'accounts_pkey' })
  userId!: string;

  /** argon2id; `null` for an account that cannot log in with a password. */
  @Column({ name: 'password_hash', type: 'text', nullable: true })
  passwordHash!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;
}
