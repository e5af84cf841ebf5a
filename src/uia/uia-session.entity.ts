import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { Proven } from './uia-stage.port.js';

/** One operation that waits for its user to prove their identity. */
@Entity('uia_sessions')
@Index('uia_sessions_expiry_idx', ['expiresAt'])
@Index('uia_sessions_device_idx', ['userId', 'deviceId'])
@Index('uia_sessions_session_idx', ['sessionId'])
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'uia_sessions_device_fkey',
  onDelete: 'CASCADE',
})
export class UiaSessionEntity {
  /** Who is calling; the session's own ID if nobody is logged in, as in a registration. */
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'uia_sessions_pkey' })
  userId!: string;

  @PrimaryColumn({ name: 'session_id', type: 'text', primaryKeyConstraintName: 'uia_sessions_pkey' })
  sessionId!: string;

  /** Method and path of the one API call that the session is valid for. */
  @Column({ name: 'operation', type: 'text' })
  operation!: string;

  /** The device that opened the session; deleting the device deletes the session. `null` if there is none. */
  @Column({ name: 'device_id', type: 'text', nullable: true })
  deviceId!: string | null;

  /** The parameters of the first request, without `auth` and without any password. */
  @Column({ name: 'parameters', type: 'jsonb' })
  parameters!: object;

  /** The stages done so far. */
  @Column({ name: 'completed', type: 'jsonb' })
  completed!: string[];

  /** argon2id of the password in the first request, so that the answer to the challenge need not repeat it. */
  @Column({ name: 'secret', type: 'text', nullable: true })
  secret!: string | null;

  /** Whose identity the stages have proven, and against what. */
  @Column({ name: 'proven', type: 'jsonb', nullable: true })
  proven!: Proven | null;

  /** The result of the call, once made, so that a repeated request gets the answer again if the first was lost. */
  @Column({ name: 'result', type: 'jsonb', nullable: true })
  result!: Readonly<Record<string, string | null>> | null;

  /** Whether its user agrees on a page, instead of proving anything in the call. */
  @Column({ name: 'is_on_page', type: 'boolean', default: false })
  isOnPage!: boolean;

  @Column({ name: 'expires_at', type: 'timestamptz' })
  expiresAt!: Date;
}
