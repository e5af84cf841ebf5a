import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';

export const JOB_STATES = ['running', 'cancelled', 'failed', 'done'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** The order of an administrator to end all sessions that meet a filter, and how far it is. */
@Entity('ending_jobs')
@Index('ending_jobs_finished_idx', ['finishedAt'])
export class EndingJobEntity {
  @PrimaryColumn({ name: 'job_id', type: 'text', primaryKeyConstraintName: 'ending_jobs_pkey' })
  jobId!: string;

  @Column({ name: 'filter', type: 'jsonb' })
  filter!: object;

  @Column({ name: 'reason', type: 'text', nullable: true })
  reason!: string | null;

  @Column({ name: 'actor', type: 'text' })
  actor!: string;

  /** Where the order came from. */
  @Column({ name: 'origin', type: 'jsonb', nullable: true })
  origin!: Origin | null;

  @Column({ name: 'state', type: 'text' })
  state!: JobState;

  /** The last device that was looked at. */
  @Column({ name: 'position', type: 'jsonb', nullable: true })
  position!: DeviceRef | null;

  @Column({ name: 'looked_at', type: 'bigint', default: 0 })
  lookedAt!: string;

  @Column({ name: 'ended', type: 'bigint', default: 0 })
  ended!: string;

  /** Sessions that could not be ended; the log names them. */
  @Column({ name: 'failed', type: 'bigint', default: 0 })
  failed!: string;

  /** Why it cannot go on. */
  @Column({ name: 'error', type: 'text', nullable: true })
  error!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  /** When it was done or cancelled; `null` while it runs. */
  @Column({ name: 'finished_at', type: 'timestamptz', nullable: true })
  finishedAt!: Date | null;

  /** The ID of the lease: a node that has lost it can no longer report progress. */
  @Column({ name: 'lease', type: 'text', nullable: true })
  lease!: string | null;

  @Column({ name: 'leased_until', type: 'timestamptz', nullable: true })
  leasedUntil!: Date | null;
}
