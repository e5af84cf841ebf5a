import { Injectable } from '@nestjs/common';
import type { Check, Finding, Positions } from './finding.js';
import { LostRowsCheck } from './lost-rows.check.js';
import { EVENTS_STUCK, StuckEventsCheck } from './stuck-events.check.js';
import { UnusedDevicesCheck } from './unused-devices.check.js';

/** Everything that the reconciler looks for. */
@Injectable()
export class ReconcilerChecks {
  private readonly checks: Check[];

  constructor(
    lostRows: LostRowsCheck,
    unusedDevices: UnusedDevicesCheck,
    private readonly stuckEvents: StuckEventsCheck,
  ) {
    this.checks = [lostRows, unusedDevices];
  }

  /** Adds a check of another module. Call it before the application has started. */
  add(check: Check): void {
    this.checks.push(check);
  }

  /** What it reads page by page. */
  tables(): readonly string[] {
    return this.checks.flatMap((check) => check.tables());
  }

  /** Every problem that may be found. */
  problems(): readonly string[] {
    return [...this.checks.flatMap((check) => check.problems()), EVENTS_STUCK];
  }

  /** Checks the next page of each table, and moves the positions. */
  async nextPage(repair: boolean, positions: Positions): Promise<Finding[]> {
    const findings: Finding[] = [];
    for (const check of this.checks) findings.push(...(await check.look(repair, positions)));
    return findings;
  }

  events(repair: boolean): Promise<Finding> {
    return this.stuckEvents.look(repair);
  }
}
