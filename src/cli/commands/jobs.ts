import { setTimeout as sleep } from 'node:timers/promises';
import { EndingJobsController } from '../../admin/jobs/ending-jobs.controller.js';
import { EndingJobsRunner } from '../../admin/jobs/ending-jobs.runner.js';
import { type Context, OPERATOR, type Service } from '../context.js';
import { type ListOptions, printList } from '../listing.js';
import { type Columns, timeOf } from '../terminal.js';

/** A job as the endpoints for administrators show it. */
export interface Job {
  readonly job_id: string;
  readonly state: string;
  readonly filter: object;
  readonly reason: string | null;
  readonly actor: string;
  readonly looked_at: number;
  readonly ended: number;
  readonly failed: number;
  readonly error: string | null;
  readonly created_ts: number;
  readonly updated_ts: number;
}

const COLUMNS: Columns<Job> = [
  ['Job', ({ job_id }) => job_id],
  ['State', ({ state }) => state],
  ['Ended', ({ ended }) => ended],
  ['Failed', ({ failed }) => failed],
  ['Begun', ({ created_ts }) => timeOf(created_ts)],
  ['By', ({ actor }) => actor],
  ['Reason', ({ reason }) => reason],
];
/** How often progress is looked up. */
const LOOK_MS = 500;

export function listJobs(context: Context, options: ListOptions): Promise<void> {
  return context.withService((service) =>
    printList<Job>(context, options, (query) => service.get(EndingJobsController).list(query), {
      key: 'jobs',
      columns: COLUMNS,
      none: 'There is no job.',
    }),
  );
}

export function showJob(context: Context, jobId: string): Promise<void> {
  return context.withService(async (service) => {
    await sayJob(context, (await service.get(EndingJobsController).get(jobId)) as Job);
  });
}

export function cancelJob(context: Context, jobId: string): Promise<void> {
  return context.withService(async (service) => {
    await sayJob(
      context,
      (await service.get(EndingJobsController).cancel(OPERATOR, jobId, context.origin)) as Job,
    );
  });
}

/** Goes on with a job that was cancelled, or that no node works on, and waits for its end. */
export function resumeJob(context: Context, jobId: string): Promise<number> {
  return context.withService(
    async (service) => {
      const job = (await service.get(EndingJobsController).resume(OPERATOR, jobId, context.origin)) as Job;
      return followJob(context, service, job, { total: null, detach: false });
    },
    { changes: true },
  );
}

/** Works on a job, or waits while another node does, until it is over. Returns 1 unless all sessions have ended. */
export async function followJob(
  { terminal }: Context,
  service: Service,
  job: Job,
  { total, detach }: { total: number | null; detach: boolean },
): Promise<number> {
  if (detach) {
    const words = `${job.job_id} goes on at a node that serves: matrix-session jobs show ${job.job_id}`;
    await terminal.answer(job, () => words);
    return 0;
  }
  void service.get(EndingJobsRunner).run();
  const over = await terminal.progress(total ?? 0, 'sessions', async (show) => {
    let now = job;
    while (now.state === 'running') {
      await sleep(LOOK_MS);
      now = (await service.get(EndingJobsController).get(job.job_id)) as Job;
      show(now.ended);
    }
    return now;
  });
  await sayJob({ terminal }, over);
  return over.state === 'done' && over.failed === 0 ? 0 : 1;
}

function sayJob({ terminal }: Pick<Context, 'terminal'>, job: Job): void | Promise<void> {
  return terminal.answer(job, () =>
    terminal.facts({
      Job: job.job_id,
      State: job.state,
      Filter: JSON.stringify(job.filter),
      Reason: job.reason,
      By: job.actor,
      'Looked at': job.looked_at,
      Ended: job.ended,
      Failed: job.failed,
      ...(job.error === null ? {} : { Error: job.error }),
      Begun: timeOf(job.created_ts),
      Changed: timeOf(job.updated_ts),
    }),
  );
}
