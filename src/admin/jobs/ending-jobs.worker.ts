import { randomUUID } from 'node:crypto';
import { Injectable, Logger } from '@nestjs/common';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import { type DeletedDevice, deviceKey, type DeviceRef } from '../../events/devices-deleted.event.js';
import { EndingService } from '../../session/ending/ending.service.js';
import { isUnavailable } from '../../system/outage.js';
import { stackOf } from '../../system/stack.js';
import { fromStored, type SessionFilter } from '../sessions/session-filter.js';
import { AdminSessionsStore } from '../sessions/sessions.store.js';
import { EndingJobsStore, type LeasedJob, type Progress } from './ending-jobs.store.js';

/** How many sessions end in one commit. */
const STEP = 500;

/** The job was cancelled, another node has taken it over, or this one stops. */
class NoLongerOurs extends Error {}

/**
 * Does one job. Each commit ends the tokens of some sessions and marks their devices, which `EndingSweeper` deletes
 * right after it: so all tokens are dead long before the last key is gone. The same commit stores how far the job is.
 */
@Injectable()
export class EndingJobsWorker {
  private readonly logger = new Logger(EndingJobsWorker.name);

  constructor(
    private readonly store: EndingJobsStore,
    private readonly sessions: AdminSessionsStore,
    private readonly endings: EndingService,
    private readonly devices: DeviceRows,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** Works on a job that nobody works on, until it is done or `isStopping`; returns whether there was one. */
  async workOnNext(isStopping: () => boolean): Promise<boolean> {
    const job = await this.store.lease(randomUUID());
    if (job === null) return false;
    try {
      await this.work(job, isStopping);
    } catch (error) {
      if (error instanceof NoLongerOurs) return true;
      if (isUnavailable(error)) throw error;
      // It would fail again. Others must not wait for it.
      this.logger.error(`The job ${job.jobId} cannot go on`, stackOf(error));
      await this.store.fail(job, error instanceof Error ? error.message : String(error));
    } finally {
      await this.store.release(job).catch(() => {});
    }
    return true;
  }

  private async work(job: LeasedJob, isStopping: () => boolean): Promise<void> {
    const filter = fromStored(job.filter);
    let { position } = job;
    while (!isStopping()) {
      const window = await this.sessions.look(filter, position);
      let counted = 0;
      for (let at = 0; at < window.found.length && !isStopping(); at += STEP) {
        const step = window.found.slice(at, at + STEP);
        const isLast = at + STEP >= window.found.length;
        // After the last one, all that was looked at is behind us.
        const upTo = isLast ? (window.next ?? step.at(-1)!) : step.at(-1)!;
        const seen = isLast ? window.lookedAt : step.at(-1)!.n;
        await this.end(job, filter, step, { upTo, lookedAt: seen - counted });
        counted = seen;
      }
      if (isStopping()) return;
      const isDone = window.next === null;
      if (isDone)
        await this.endCompanions(filter, async () => {
          if (isStopping()) throw new NoLongerOurs();
          // Only to keep the lease.
          const none = { lookedAt: 0, ended: 0, failed: 0, isDone: false };
          await this.unitOfWork.run((tx) => this.advance(tx, job, { position: refOf(position), ...none }));
        });
      if (isDone || window.found.length === 0)
        await this.unitOfWork.run((tx) =>
          this.advance(tx, job, {
            position: refOf(window.next),
            lookedAt: window.lookedAt - counted,
            ended: 0,
            failed: 0,
            isDone,
          }),
        );
      if (isDone) return;
      position = window.next;
    }
  }

  /** Ends sessions together or, if that fails, one by one. */
  private async end(
    job: LeasedJob,
    filter: SessionFilter,
    step: readonly DeviceRef[],
    { upTo, lookedAt }: { readonly upTo: DeviceRef; readonly lookedAt: number },
  ): Promise<void> {
    const position = refOf(upTo);
    try {
      await this.unitOfWork.run(async (tx) => {
        const ended = await this.endIn(tx, job, filter, step);
        await this.advance(tx, job, { position, lookedAt, ended, failed: 0, isDone: false });
      });
    } catch (error) {
      if (error instanceof NoLongerOurs || isUnavailable(error)) throw error;
      if (step.length > 1) {
        for (const [nth, one] of step.entries()) {
          const isLast = nth === step.length - 1;
          await this.end(job, filter, [one], { upTo: isLast ? upTo : one, lookedAt: isLast ? lookedAt : 0 });
        }
        return;
      }
      this.logger.warn(`${step[0]!.userId} ${step[0]!.deviceId} could not be ended: ${String(error)}`);
      await this.unitOfWork.run((tx) =>
        this.advance(tx, job, { position, lookedAt, ended: 0, failed: 1, isDone: false }),
      );
    }
  }

  /** Ends those of the sessions that still meet the filter; returns how many. */
  private async endIn(
    tx: Tx,
    { actor, origin }: LeasedJob,
    filter: SessionFilter,
    step: readonly DeviceRef[],
  ): Promise<number> {
    const locked = await this.devices.lock(tx, step);
    const meeting = new Set((await this.sessions.stillMeeting(tx, filter, locked)).map(deviceKey));
    const ending: DeletedDevice[] = locked.filter((device) => meeting.has(deviceKey(device)));
    if (ending.length > 0) {
      const origins = origin === null ? null : { ...origin, actor };
      await this.endings.endInSteps(tx, ending, { reason: 'admin', origins });
      await this.endings.endCompanions(tx, new Set(ending.map(({ userId }) => userId)));
    }
    return ending.length;
  }

  /** Ends signed-in browsers and grants of users who may have had no session, if the filter means them, too. */
  private async endCompanions(filter: SessionFilter, between: () => Promise<void>): Promise<void> {
    const { userId, createdBefore, refreshedBefore, except = [] } = filter;
    if (!meansWholeUsers(filter)) return;
    const kept = except.filter(({ deviceId }) => deviceId === null).map((one) => one.userId);
    if (userId === undefined)
      await this.endings.endOldCompanions(refreshedBefore ?? createdBefore!, kept, between);
    else if (!kept.includes(userId))
      await this.unitOfWork.run((tx) => this.endings.endCompanions(tx, [userId]));
  }

  private async advance(tx: Tx, job: LeasedJob, progress: Progress): Promise<void> {
    if (!(await this.store.advance(tx, job, progress))) throw new NoLongerOurs();
  }
}

/** Whether no condition is about devices or clients. A job always has a time before which sessions have begun. */
function meansWholeUsers({
  deviceId,
  clientId,
  userAgent,
  address,
  seenBefore,
  kind,
}: SessionFilter): boolean {
  const isOfPeople = kind === undefined || kind === 'user';
  return isOfPeople && [deviceId, clientId, userAgent, address, seenBefore].every((one) => one === undefined);
}

function refOf(device: DeviceRef | null): DeviceRef | null {
  return device === null ? null : { userId: device.userId, deviceId: device.deviceId };
}
