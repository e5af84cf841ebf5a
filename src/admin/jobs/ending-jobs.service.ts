import { Injectable } from '@nestjs/common';
import { AuditService } from '../../audit/audit.service.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { Entropy } from '../../system/entropy.js';
import { requireNetwork } from '../sessions/network.rules.js';
import { type SessionFilter, toStored } from '../sessions/session-filter.js';
import type { EndingJobEntity, JobState } from './ending-job.entity.js';
import { EndingJobsStore } from './ending-jobs.store.js';

/** Who does something to a job, and from where. */
export interface Acting {
  readonly actor: string;
  readonly origin: Origin;
}

/** Who wants sessions to end, from where and why. */
export interface Order extends Acting {
  readonly reason: string | null;
}

/** Jobs that end sessions, of however many users. */
@Injectable()
export class EndingJobs {
  private begun: () => void = () => {};

  constructor(
    private readonly store: EndingJobsStore,
    private readonly audit: AuditService,
    private readonly unitOfWork: UnitOfWork,
    private readonly entropy: Entropy,
  ) {}

  /** Registers `work` to be called when there is something to do. */
  whenBegun(work: () => void): void {
    this.begun = work;
  }

  /**
   * Begins to end every session that meets the filter and exists now. It is one entry of the audit, and each session
   * that ends is another.
   */
  async begin(filter: SessionFilter, { actor, origin, reason }: Order): Promise<EndingJobEntity> {
    requireNetwork(filter.address);
    const job = await this.unitOfWork.run(async (tx) => {
      const jobId = this.newJobId(tx.startedAt);
      const before = Math.min(tx.startedAt.getTime() + 1, filter.createdBefore?.getTime() ?? Infinity);
      const stored = toStored({ ...filter, createdBefore: new Date(before) });
      this.audit.record(
        tx,
        'sessions_ending',
        [{ userId: filter.userId ?? '' }],
        () => ({ ...origin, actor }),
        {
          reason,
          operation: jobId,
        },
      );
      return this.store.insert(tx, { jobId, filter: stored, reason, actor, origin });
    });
    this.begun();
    return job;
  }

  /** @throws {MatrixError} `M_NOT_FOUND` */
  async get(jobId: string): Promise<EndingJobEntity> {
    const job = await this.store.find(jobId);
    if (job === null) throw MatrixError.notFound('There is no such job');
    return job;
  }

  /** The latest first; `before` a job ID. */
  list(before: string | null, limit: number): Promise<EndingJobEntity[]> {
    return this.store.list(before ?? '~', limit);
  }

  /**
   * Stops a job. What has ended stays ended. The second call changes nothing.
   * @throws {MatrixError} `M_NOT_FOUND`; `M_INVALID_PARAM` if it is done
   */
  cancel(jobId: string, by: Acting): Promise<EndingJobEntity> {
    return this.turn(jobId, ['running'], 'cancelled', by);
  }

  /**
   * Goes on where a job was cancelled or has failed. The second call changes nothing.
   * @throws {MatrixError} `M_NOT_FOUND`; `M_INVALID_PARAM` if it is done
   */
  async resume(jobId: string, by: Acting): Promise<EndingJobEntity> {
    const job = await this.turn(jobId, ['cancelled', 'failed'], 'running', by);
    this.begun();
    return job;
  }

  private async turn(
    jobId: string,
    from: readonly JobState[],
    to: 'cancelled' | 'running',
    { actor, origin }: Acting,
  ): Promise<EndingJobEntity> {
    const action = to === 'cancelled' ? 'job_cancelled' : 'job_resumed';
    const turned = await this.unitOfWork.run(async (tx) => {
      const job = await this.store.setState(tx, jobId, from, to);
      if (job !== null)
        this.audit.record(tx, action, [{ userId: '' }], () => ({ ...origin, actor }), { operation: jobId });
      return job;
    });
    if (turned !== null) return turned;
    const job = await this.get(jobId);
    if (job.state !== to) throw MatrixError.invalidParam(`The job is ${job.state}`);
    return job;
  }

  /** Later jobs have greater IDs. */
  private newJobId(now: Date): string {
    return `job_${now.getTime().toString(36).padStart(9, '0')}_${this.entropy.bytes(6).toString('hex')}`;
  }
}
