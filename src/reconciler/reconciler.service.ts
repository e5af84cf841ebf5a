import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Metrics } from '../metrics/metrics.js';
import { Clock } from '../system/clock.js';
import { warnUnlessOutage } from '../system/outage.js';
import { EXAMPLES, type Finding, type Positions } from './finding.js';
import { LostRowsCheck } from './lost-rows.check.js';
import { ReconcilerStore } from './reconciler.store.js';
import { StuckEventsCheck } from './stuck-events.check.js';
import { UnusedDevicesCheck } from './unused-devices.check.js';

/** Pages of each table that a periodic round looks at; the next one goes on from there. */
const PAGES_A_ROUND = 10;
/** Pages that an administrator's look takes. */
const MOST_PAGES = 100;
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
    private readonly lostRows: LostRowsCheck,
    private readonly unusedDevices: UnusedDevicesCheck,
    private readonly stuckEvents: StuckEventsCheck,
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
      for (const check of [this.lostRows, this.unusedDevices])
        findings.push(...(await check.look(repair, positions)));
      await keep();
      if (Object.values(positions).every((position) => position === null)) break;
    }
    return [...findings, await this.stuckEvents.look(repair)];
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
