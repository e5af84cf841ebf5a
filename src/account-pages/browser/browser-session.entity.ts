import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/** Somebody is signed in on the pages. It is no session of a client: it has neither device nor token. */
@Entity('browser_sessions')
@Index('browser_sessions_expiry_idx', ['expiresAt'])
@ForeignKey('AccountEntity', ['userId'], ['userId'], {
  name: 'browser_sessions_user_fkey',
  onDelete: 'CASCADE',
})
export class BrowserSessionEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'browser_sessions_pkey' })
  userId!: string;

  /** SHA-256 of the cookie. */
  @PrimaryColumn({ name: 'session_digest', type: 'bytea', primaryKeyConstraintName: 'browser_sessions_pkey' })
  sessionDigest!: Buffer;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** When the user last proved who they are. */
  @Column({ name: 'authenticated_at', type: 'timestamptz' })
  authenticatedAt!: Date;

  @Column({ name: 'seen_at', type: 'timestamptz' })
  seenAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz' })
  expiresAt!: Date;

  @Column({ name: 'address', type: 'text', nullable: true })
  address!: string | null;

  @Column({ name: 'user_agent', type: 'text', nullable: true })
  userAgent!: string | null;
}
