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
import { SessionService } from '../session/session.service.js';
import { Clock } from '../system/clock.js';
import { HANGING_ON_DEVICES, type HangingTable, ReconcilerStore } from './reconciler.store.js';

/** Rows of a table that one round looks at; the next one goes on from there. */
const PAGE = 2_000;
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
 * there (a foreign key was dropped, or a backup restored without it), devices that nobody can sign in on any more, events that
 * nobody delivers. A round is bounded; it goes on where the last one ended.
 */
@Injectable()
export class ReconcilerService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(ReconcilerService.name);
  private readonly positions = new Map<string, DeviceRef>();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: ReconcilerStore,
    private readonly sessions: SessionService,
    private readonly outbox: OutboxWorker,
    private readonly metrics: Metrics,
    private readonly environment: Environment,
    private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    const { reconcile, reconcileIntervalMs } = this.environment;
    if (reconcile === 'off') return;
    this.timer = setInterval(() => {
      this.running = this.running.then(() => this.roundNow(reconcile === 'repair'));
    }, reconcileIntervalMs).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }

  /** One round. A dry one changes nothing but where the next one goes on. */
  async round(repair: boolean): Promise<Finding[]> {
    const findings = [
      ...(await Promise.all(HANGING_ON_DEVICES.map((table) => this.reconcileTable(table, repair)))),
      await this.reconcileDevices(repair),
      await this.reconcileEvents(repair),
    ].filter(({ found }) => found > 0);
    for (const one of findings) this.report(one);
    return findings;
  }

  private async roundNow(repair: boolean): Promise<void> {
    try {
      await this.round(repair);
    } catch (error) {
      this.logger.warn(`The round failed, and goes on the next time: ${String(error)}`);
    }
  }

  private async reconcileTable(table: HangingTable, repair: boolean): Promise<Finding> {
    const lost = await this.page(table, (from) => this.store.look(table, from, PAGE));
    const repaired = repair && lost.length > 0 ? await this.store.remove(table, lost) : 0;
    return finding(`${table}_without_device`, lost, repaired);
  }

  private async reconcileDevices(repair: boolean): Promise<Finding> {
    const before = new Date(this.clock.now().getTime() - this.environment.deviceWithoutTokenTtlMs);
    const dead = await this.page('devices', (from) => this.store.lookAtDevices(from, PAGE, before));
    const repaired = repair && dead.length > 0 ? await this.sessions.endExpired(dead, before) : 0;
    return finding('devices_without_token', dead, repaired);
  }

  private async reconcileEvents(repair: boolean): Promise<Finding> {
    const before = new Date(this.clock.now().getTime() - EVENT_IS_STUCK_AFTER_MS);
    const stuck = await this.store.stuckEvents(before, PAGE);
    if (repair && stuck.length > 0) await this.outbox.drain();
    const left = repair && stuck.length > 0 ? await this.store.stuckEvents(before, PAGE) : stuck;
    return {
      problem: 'events_stuck',
      found: stuck.length,
      repaired: stuck.length - left.length,
      examples: stuck.slice(0, EXAMPLES).map(({ subscriber, eventId }) => `${subscriber} ${eventId}`),
    };
  }

  /** The next rows of a table, of which those are given that are wrong. */
  private async page(
    name: string,
    look: (from: DeviceRef) => Promise<(DeviceRef & { readonly wrong: boolean })[]>,
  ): Promise<DeviceRef[]> {
    const rows = await look(this.positions.get(name) ?? START);
    const last = rows.at(-1);
    if (last === undefined) this.positions.delete(name);
    else this.positions.set(name, last);
    return rows.filter(({ wrong }) => wrong);
  }

  private report({ problem, found, repaired, examples }: Finding): void {
    this.metrics.count('session_reconciler_problems_total', { problem, outcome: 'found' }, found);
    this.metrics.count('session_reconciler_problems_total', { problem, outcome: 'repaired' }, repaired);
    this.logger.warn(`${problem}: ${found} found, ${repaired} repaired; ${examples.join(', ')}`);
  }
}

function finding(problem: string, devices: readonly DeviceRef[], repaired: number): Finding {
  const examples = devices.slice(0, EXAMPLES).map(({ userId, deviceId }) => `${userId} ${deviceId}`);
  return { problem, found: devices.length, repaired, examples };
}
