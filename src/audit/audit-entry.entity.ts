import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** What an entry is about. */
export const AUDIT_ACTIONS = [
  'session_started',
  'session_ended',
  'refused',
  'account_registered',
  'account_deactivated',
  'account_locked',
  'account_unlocked',
  'account_suspended',
  'account_unsuspended',
  'password_changed',
  'admin_granted',
  'admin_revoked',
  'sessions_ending',
  'job_cancelled',
  'job_resumed',
  'registration_token_created',
  'registration_token_changed',
  'registration_token_revoked',
  'browser_login',
  'browser_logout',
  'consent_given',
  'consent_refused',
  'device_approved',
  'device_refused',
  'reset_approved',
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

const PRIMARY_KEY = 'audit_entries_pkey';

/** One thing that happened to a user's sessions or account. It never contains a token or a password. */
@Entity('audit_entries')
@Index('audit_entries_time_idx', ['at', 'entryId'])
@Index('audit_entries_refused_idx', ['at', 'entryId'], { where: "action = 'refused'" })
export class AuditEntryEntity {
  /** In a refusal: the user who sent the request or was named in it; empty if there is no such user. */
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'at', type: 'timestamptz', primaryKeyConstraintName: PRIMARY_KEY })
  at!: Date;

  /** Begins with its number within the transaction. */
  @PrimaryColumn({ name: 'entry_id', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  entryId!: string;

  @Column({ name: 'action', type: 'text' })
  action!: AuditAction;

  /** Why a session ended or was ordered to, what kind of account was registered, or the `errcode` of a refusal. */
  @Column({ name: 'reason', type: 'text', nullable: true })
  reason!: string | null;

  /** Method and path of a refused request, the job that ends sessions, or the first letters of a registration token. */
  @Column({ name: 'operation', type: 'text', nullable: true })
  operation!: string | null;

  @Column({ name: 'device_id', type: 'text', nullable: true })
  deviceId!: string | null;

  /** The administrator who did it; `null` if it was the user. */
  @Column({ name: 'actor', type: 'text', nullable: true })
  actor!: string | null;

  /** The OAuth 2.0 client that a session began with, or that the user decided on. */
  @Column({ name: 'client_id', type: 'text', nullable: true })
  clientId!: string | null;

  @Column({ name: 'address', type: 'text', nullable: true })
  address!: string | null;

  @Column({ name: 'user_agent', type: 'text', nullable: true })
  userAgent!: string | null;
}
