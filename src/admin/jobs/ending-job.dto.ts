import { fromFilter, fromStored } from '../sessions/session-filter.js';
import { JOB_STATES, type EndingJobEntity } from './ending-job.entity.js';

/** A job as the endpoints show it. */
export const JOB_SCHEMA = {
  type: 'object',
  properties: {
    job_id: { type: 'string' },
    state: { type: 'string', enum: [...JOB_STATES] },
    filter: { type: 'object', description: 'What it ends, as it was asked for.' },
    reason: { type: 'string', nullable: true },
    actor: { type: 'string', description: 'Who ordered it.' },
    looked_at: { type: 'integer', description: 'How many sessions it has looked at.' },
    ended: { type: 'integer', description: 'How many sessions it has ended.' },
    failed: { type: 'integer', description: 'How many could not be ended; the log names them.' },
    error: { type: 'string', nullable: true, description: 'Why it has failed as a whole.' },
    created_ts: { type: 'integer' },
    updated_ts: { type: 'integer' },
  },
};

export function toJobDto(job: EndingJobEntity): object {
  return {
    job_id: job.jobId,
    state: job.state,
    filter: fromFilter(fromStored(job.filter)),
    reason: job.reason,
    actor: job.actor,
    looked_at: Number(job.lookedAt),
    ended: Number(job.ended),
    failed: Number(job.failed),
    error: job.error,
    created_ts: job.createdAt.getTime(),
    updated_ts: job.updatedAt.getTime(),
  };
}
