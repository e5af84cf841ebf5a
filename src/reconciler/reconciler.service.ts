import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Environment } from '../config/environment.js';
import type { DeviceRef } from '../events/devices-deleted.event.js';
import { Metrics } from '../metrics/metrics.js';
import { OutboxWorker } from '../outbox/outbox.worker.js';
import { ExpiredSessionsService } from '../session/ending/expired-sessions.service.js';
import { Clock } from '../system/clock.js';
import { isUnavailable, warnUnlessOutage } from '../system/outage.js';
import {
  HANGING_ON_DEVICES,
  type HangingTable,
  type Positions,
  ReconcilerStore,
} from './reconciler.store.js';

/** Rows of a table that are looked at together. */
const PAGE = 2_000;
/** Pages of each table that a periodic round looks at; the next one goes on from there. */
const PAGES_A_ROUND = 10;
/** Pages that an administrator's look takes. */
const MOST_PAGES = 100;
/** Devices that are ended in one transaction. */
const ENDED_TOGETHER = 50;
const EXAMPLES = 10;
const EVENT_IS_STUCK_AFTER_MS = 10 * 60 * 1_000;
const START: DeviceRef = { userId: '', deviceId: '' };

/** What one round found of one kind. */
export interface Finding {
  /** Such as `access_tokens_without_device`. */
  readonly problem: string;
  readonly found: number;
  readonly repaired: number;
  /** A few of what was found, by name. */
  readonly examples: readonly string[];
}

/**
 * Looks every `RECONCILE_INTERVAL` for what should be impossible, and mends it: rows that hang on a device that is not
 * there (a foreign key was dropped, or a backup restored without it), devices that nobody can sign in on any more,
 * events that nobody delivers. A round is bounded, and one node's at a time; it goes on where the last one ended.
 */
@Injectable()
export class ReconcilerService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(ReconcilerService.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private isStopping = false;

  constructor(
    private readonly store: ReconcilerStore,
    private readonly expired: ExpiredSessionsService,
    private readonly outbox: OutboxWorker,
    private readonly metrics: Metrics,
    private readonly environment: Environment,
    private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    const { reconcile, reconcileIntervalMs } = this.environment;
    if (reconcile === 'off') return;
    this.timer = setInterval(() => {
      this.running ??= this.round(reconcile === 'repair').finally(() => (this.running = undefined));
    }, reconcileIntervalMs).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    this.isStopping = true;
    await this.running;
  }

  /** Looks from the beginning, page by page; a dry look changes nothing. */
  async lookThrough(repair: boolean): Promise<Finding[]> {
    return this.report(await this.look(repair, {}, MOST_PAGES, async () => {}));
  }

  /** What the timer does. It never rejects: what fails is looked at again the next time. */
  private async round(repair: boolean): Promise<void> {
    try {
      const { reconcileIntervalMs } = this.environment;
      // A dry round does not take the place of one that mends.
      const name = repair ? 'periodic' : 'dry_run';
      const kept = await this.store.beginRound(name, this.clock.now(), reconcileIntervalMs);
      if (kept === null) return;
      // A table that was looked through begins anew.
      const positions = Object.fromEntries(Object.entries(kept).filter(([, position]) => position !== null));
      const keep = () => this.store.keepPositions(name, positions);
      this.report(await this.look(repair, positions, PAGES_A_ROUND, keep));
    } catch (error) {
      warnUnlessOutage(this.logger, 'The round failed, and goes on the next time', error);
    }
  }

  private async look(
    repair: boolean,
    positions: Positions,
    pages: number,
    keep: () => Promise<void>,
  ): Promise<Finding[]> {
    const findings: Finding[] = [];
    for (let page = 0; page < pages && !this.isStopping; page += 1) {
      for (const table of HANGING_ON_DEVICES) findings.push(await this.lookAtTable(table, repair, positions));
      findings.push(await this.lookAtDevices(repair, positions));
      await keep();
      if (Object.values(positions).every((position) => position === null)) break;
    }
    return [...findings, await this.lookAtEvents(repair)];
  }

  private async lookAtTable(table: HangingTable, repair: boolean, positions: Positions): Promise<Finding> {
    const lost = await this.page(table, positions, (from) => this.store.look(table, from, PAGE));
    const repaired = repair && lost.length > 0 ? await this.store.remove(table, lost) : 0;
    return toFinding(`${table}_without_device`, lost, repaired);
  }

  private async lookAtDevices(repair: boolean, positions: Positions): Promise<Finding> {
    const before = new Date(this.clock.now().getTime() - this.environment.deviceWithoutTokenTtlMs);
    const unused = await this.page('devices', positions, (from) =>
      this.store.lookAtDevices(from, PAGE, before),
    );
    const dead = unused.length === 0 ? [] : await this.expired.find(unused, before);
    let repaired = 0;
    for (let at = 0; repair && at < dead.length && !this.isStopping; at += ENDED_TOGETHER)
      repaired += await this.end(dead.slice(at, at + ENDED_TOGETHER), before);
    return toFinding('devices_without_token', dead, repaired);
  }

  /** Ends devices together, and where that fails, each by itself: one that a listener holds on to stops no other. */
  private async end(devices: readonly DeviceRef[], before: Date): Promise<number> {
    try {
      return await this.expired.end(devices, before);
    } catch (error) {
      if (isUnavailable(error)) throw error;
      if (devices.length === 1) {
        const [{ userId, deviceId }] = devices as [DeviceRef];
        warnUnlessOutage(this.logger, `${userId} ${deviceId} could not be ended`, error);
        return 0;
      }
    }
    let ended = 0;
    for (const device of devices) ended += await this.end([device], before);
    return ended;
  }

  private async lookAtEvents(repair: boolean): Promise<Finding> {
    const before = new Date(this.clock.now().getTime() - EVENT_IS_STUCK_AFTER_MS);
    const stuck = await this.store.stuckEvents(before, PAGE);
    let repaired = 0;
    if (repair && stuck.length > 0) {
      await this.outbox.pass();
      // Those that were tried in vain are due again later, and no less stuck.
      repaired = await this.store.countDelivered(stuck);
    }
    return {
      problem: 'events_stuck',
      found: stuck.length,
      repaired,
      examples: stuck.slice(0, EXAMPLES).map(({ subscriber, eventId }) => `${subscriber} ${eventId}`),
    };
  }

  /** The next rows of a table, of which those are given that are wrong. */
  private async page(
    name: string,
    positions: Positions,
    look: (from: DeviceRef) => Promise<(DeviceRef & { readonly wrong: boolean })[]>,
  ): Promise<DeviceRef[]> {
    const from = positions[name];
    if (from === null) return [];
    const rows = await look(from ?? START);
    const last = rows.at(-1);
    positions[name] = last === undefined ? null : { userId: last.userId, deviceId: last.deviceId };
    return rows.filter(({ wrong }) => wrong);
  }

  /** One finding for each problem that there is. */
  private report(findings: readonly Finding[]): Finding[] {
    const byProblem = new Map<string, Finding>();
    for (const one of findings.filter(({ found }) => found > 0)) {
      const sum = byProblem.get(one.problem) ?? { ...one, found: 0, repaired: 0, examples: [] };
      byProblem.set(one.problem, {
        problem: one.problem,
        found: sum.found + one.found,
        repaired: sum.repaired + one.repaired,
        examples: [...sum.examples, ...one.examples].slice(0, EXAMPLES),
      });
    }
    for (const { problem, found, repaired, examples } of byProblem.values()) {
      this.metrics.count('session_reconciler_problems_total', { problem, outcome: 'found' }, found);
      this.metrics.count('session_reconciler_problems_total', { problem, outcome: 'repaired' }, repaired);
      this.logger.warn(`${problem}: ${found} found, ${repaired} repaired; ${examples.join(', ')}`);
    }
    return [...byProblem.values()];
  }
}

function toFinding(problem: string, devices: readonly DeviceRef[], repaired: number): Finding {
  const examples = devices.slice(0, EXAMPLES).map(({ userId, deviceId }) => `${userId} ${deviceId}`);
  return { problem, found: devices.length, repaired, examples };
}
