import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A registration token that an administrator made while the service ran. */
@Entity('registration_tokens')
export class RegistrationTokenEntity {
  @PrimaryColumn({ name: 'token', type: 'text', primaryKeyConstraintName: 'registration_tokens_pkey' })
  token!: string;

  /** How many accounts it may make; `null`: any number. */
  @Column({ name: 'uses_allowed', type: 'integer', nullable: true })
  usesAllowed!: number | null;

  @Column({ name: 'used', type: 'integer', default: 0 })
  used!: number;

  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** The administrator who made it. */
  @Column({ name: 'created_by', type: 'text' })
  createdBy!: string;
}
