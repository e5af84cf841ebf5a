import { Injectable } from '@nestjs/common';
import type { Finding, Positions } from './finding.js';
import { LostRowsCheck } from './lost-rows.check.js';
import { StuckEventsCheck } from './stuck-events.check.js';
import { UnusedDevicesCheck } from './unused-devices.check.js';

/** Everything that the reconciler looks for. */
@Injectable()
export class ReconcilerChecks {
  constructor(
    private readonly lostRows: LostRowsCheck,
    private readonly unusedDevices: UnusedDevicesCheck,
    private readonly stuckEvents: StuckEventsCheck,
  ) {}

  /** The tables that it reads page by page. */
  tables(): readonly string[] {
    return [...this.lostRows.tables(), 'devices'];
  }

  /** Checks the next page of each table, and moves the positions. */
  async nextPage(repair: boolean, positions: Positions): Promise<Finding[]> {
    const lost = await this.lostRows.look(repair, positions);
    return [...lost, ...(await this.unusedDevices.look(repair, positions))];
  }

  events(repair: boolean): Promise<Finding> {
    return this.stuckEvents.look(repair);
  }
}
