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
import { ReconcilerChecks } from './reconciler-checks.js';
import { ReconcilerStore } from './reconciler.store.js';

/** Pages of each table that a periodic round checks. The next round continues from there. */
const PAGES_A_ROUND = 10;
/** The most pages of each table that an administrator's check reads. */
const MOST_PAGES = 100;
const PROBLEMS = 'session_reconciler_problems_total';
/**
 * Checks every `RECONCILE_INTERVAL` for what should be impossible, and repairs it: rows of devices that do not exist
 * (a foreign key was dropped, or a backup restored without it), devices that nobody can use any more, and events that
 * are not delivered. A round is bounded and runs on one node at a time. It continues where the last one ended.
 */
@Injectable()
export class ReconcilerService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(ReconcilerService.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private isStopping = false;

  constructor(
    private readonly store: ReconcilerStore,
    private readonly checks: ReconcilerChecks,
    private readonly metrics: Metrics,
    private readonly environment: Environment,
    private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    for (const problem of this.checks.problems())
      for (const outcome of ['found', 'repaired']) this.metrics.count(PROBLEMS, { problem, outcome }, 0);
    const { background, reconcile, reconcileIntervalMs } = this.environment;
    if (!background || reconcile === 'off') return;
    this.timer = setInterval(() => {
      this.running ??= this.round(reconcile === 'repair').finally(() => (this.running = undefined));
    }, reconcileIntervalMs).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    this.isStopping = true;
    await this.running;
  }

  /** Checks from the beginning, page by page. Changes nothing unless `repair` is set. */
  async lookThrough(repair: boolean): Promise<Finding[]> {
    return this.report(await this.look(repair, {}, MOST_PAGES, async () => {}));
  }

  /** Called by the timer. It never rejects: what fails is checked again next time. */
  private async round(repair: boolean): Promise<void> {
    try {
      const { reconcileIntervalMs } = this.environment;
      // Separate names, so that a dry run does not take the place of a round that repairs.
      const name = repair ? 'periodic' : 'dry_run';
      const kept = await this.store.beginRound(name, this.clock.now(), reconcileIntervalMs);
      if (kept === null) return;
      // Tables that were read to the end start over.
      const tables = this.checks.tables();
      const positions = Object.fromEntries(
        Object.entries(kept).filter(([table, position]) => position !== null && tables.includes(table)),
      );
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
      findings.push(...(await this.checks.nextPage(repair, positions)));
      await keep();
      if (Object.values(positions).every((position) => position === null)) break;
    }
    return [...findings, await this.checks.events(repair)];
  }

  /** Merges the findings into one per problem, then counts and logs them. */
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
      this.metrics.count(PROBLEMS, { problem, outcome: 'found' }, found);
      this.metrics.count(PROBLEMS, { problem, outcome: 'repaired' }, repaired);
      this.logger.warn(`${problem}: ${found} found, ${repaired} repaired; ${examples.join(', ')}`);
    }
    return [...byProblem.values()];
  }
}
