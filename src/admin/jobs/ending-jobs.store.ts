import { Injectable } from '@nestjs/common';
import { type Purge, purging } from '../../database/housekeeping.js';
import type { Statement, Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { Clock } from '../../system/clock.js';
import type { EndingJobEntity, JobState } from './ending-job.entity.js';

const COLUMNS = `
  job_id AS "jobId", filter, reason, actor, origin, state, position, looked_at AS "lookedAt", ended, failed,
  error, created_at AS "createdAt", updated_at AS "updatedAt", finished_at AS "finishedAt", lease, leased_until AS "leasedUntil"`;

const INSERT: Statement = {
  name: 'ending_jobs_insert',
  text: `
    INSERT INTO ending_jobs (job_id, filter, reason, actor, origin, state, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, 'running', $6, $6) RETURNING ${COLUMNS}`,
};
const FIND: Statement = {
  name: 'ending_jobs_find',
  text: `SELECT ${COLUMNS} FROM ending_jobs WHERE job_id = $1`,
};
// IDs are in the order of time.
const LIST: Statement = {
  name: 'ending_jobs_list',
  text: `SELECT ${COLUMNS} FROM ending_jobs WHERE job_id < $1 ORDER BY job_id DESC LIMIT $2`,
};
const COUNT_RUNNING: Statement = {
  name: 'ending_jobs_count_running',
  text: 'SELECT count(*)::int FROM ending_jobs WHERE finished_at IS NULL',
};
const LEASE: Statement = {
  name: 'ending_jobs_lease',
  text: `
    UPDATE ending_jobs SET lease = $2, leased_until = $3 WHERE job_id = (
      SELECT job_id FROM ending_jobs WHERE finished_at IS NULL AND (lease IS NULL OR leased_until <= $1)
      ORDER BY job_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING ${COLUMNS}`,
};
const ADVANCE: Statement = {
  name: 'ending_jobs_advance',
  text: `
    UPDATE ending_jobs SET position = $3, looked_at = looked_at + $4, ended = ended + $5, failed = failed + $6,
      updated_at = $7, leased_until = $8, state = CASE WHEN $9 THEN 'done' ELSE state END,
      finished_at = CASE WHEN $9 THEN $7::timestamptz END
    WHERE job_id = $1 AND lease = $2 AND state = 'running' RETURNING 1`,
};
const RELEASE: Statement = {
  name: 'ending_jobs_release',
  text: 'UPDATE ending_jobs SET lease = NULL, leased_until = NULL WHERE job_id = $1 AND lease = $2',
};
const FAIL: Statement = {
  name: 'ending_jobs_fail',
  text: `
    UPDATE ending_jobs SET state = 'failed', error = $3, updated_at = $4, finished_at = $4, lease = NULL,
      leased_until = NULL
    WHERE job_id = $1 AND lease = $2 AND state = 'running'`,
};
const SET_STATE: Statement = {
  name: 'ending_jobs_set_state',
  text: `
    UPDATE ending_jobs SET state = $3, updated_at = $4, finished_at = CASE WHEN $3 <> 'running' THEN $4::timestamptz END,
      lease = NULL, leased_until = NULL, error = NULL
    WHERE job_id = $1 AND state = ANY ($2::text[]) RETURNING ${COLUMNS}`,
};

/** Longer than a step takes: if another node takes the job over, its holder is dead. */
const LEASE_MS = 60_000;

/** What a step of a job has done. */
export interface Progress {
  readonly position: DeviceRef | null;
  readonly lookedAt: number;
  readonly ended: number;
  readonly failed: number;
  readonly isDone: boolean;
}

/** A job to be done. */
export interface NewJob {
  readonly jobId: string;
  readonly filter: object;
  readonly reason: string | null;
  readonly actor: string;
  readonly origin: Origin | null;
}

/** A job whose lease this node holds. */
export interface LeasedJob extends EndingJobEntity {
  readonly lease: string;
}

/** The SQL of jobs. */
@Injectable()
export class EndingJobsStore {
  /** Removes jobs that have been done or cancelled for some time. */
  readonly purge: Purge;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly clock: Clock,
  ) {
    this.purge = purging(unitOfWork, 'ending_jobs', 'finished_at');
  }

  async insert(tx: Tx, { jobId, filter, reason, actor, origin }: NewJob): Promise<EndingJobEntity> {
    const rows = await tx.query<EndingJobEntity>(INSERT, [
      jobId,
      filter,
      reason,
      actor,
      origin,
      tx.startedAt,
    ]);
    return rows[0]!;
  }

  async find(jobId: string): Promise<EndingJobEntity | null> {
    return (await this.unitOfWork.query<EndingJobEntity>(FIND, [jobId]))[0] ?? null;
  }

  /** The latest first. */
  list(before: string, limit: number): Promise<EndingJobEntity[]> {
    return this.unitOfWork.query(LIST, [before, limit]);
  }

  async countRunning(): Promise<number> {
    return (await this.unitOfWork.query<{ count: number }>(COUNT_RUNNING, []))[0]!.count;
  }

  /** A running job that no node works on; `null` if there is none. */
  async lease(lease: string): Promise<LeasedJob | null> {
    const now = this.clock.now();
    return (await this.unitOfWork.runOne<LeasedJob>(LEASE, [now, lease, endOf(now)]))[0] ?? null;
  }

  /** Stores progress and renews the lease; returns whether this node still works on the job. */
  async advance(tx: Tx, { jobId, lease }: LeasedJob, progress: Progress): Promise<boolean> {
    const { position, lookedAt, ended, failed, isDone } = progress;
    const values = [
      jobId,
      lease,
      position,
      lookedAt,
      ended,
      failed,
      tx.startedAt,
      endOf(tx.startedAt),
      isDone,
    ];
    return (await tx.query(ADVANCE, values)).length === 1;
  }

  async release({ jobId, lease }: LeasedJob): Promise<void> {
    await this.unitOfWork.runOne(RELEASE, [jobId, lease]);
  }

  /** Ends a job that cannot go on. */
  async fail({ jobId, lease }: LeasedJob, error: string): Promise<void> {
    await this.unitOfWork.runOne(FAIL, [jobId, lease, error, this.clock.now()]);
  }

  /** `null` if the job is in another state. */
  async setState(
    tx: Tx,
    jobId: string,
    from: readonly JobState[],
    to: JobState,
  ): Promise<EndingJobEntity | null> {
    return (await tx.query<EndingJobEntity>(SET_STATE, [jobId, from, to, tx.startedAt]))[0] ?? null;
  }
}

function endOf(now: Date): Date {
  return new Date(now.getTime() + LEASE_MS);
}
