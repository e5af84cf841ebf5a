import { Injectable } from '@nestjs/common';
import { DeviceTables } from '../device-rows/device-tables.js';
import { type Check, type Finding, nextPage, PAGE, type Positions, toFinding } from './finding.js';

/** Finds rows of devices that do not exist, because a foreign key was dropped or a backup was restored without it. */
@Injectable()
export class LostRowsCheck implements Check {
  constructor(private readonly deviceTables: DeviceTables) {}

  tables(): readonly string[] {
    return this.deviceTables.all();
  }

  problems(): readonly string[] {
    return this.deviceTables.all().map(problemOf);
  }

  async look(repair: boolean, positions: Positions): Promise<Finding[]> {
    const findings: Finding[] = [];
    for (const table of this.deviceTables.all()) {
      const lost = await nextPage(table, positions, (from) => this.deviceTables.look(table, from, PAGE));
      const repaired = repair && lost.length > 0 ? await this.deviceTables.remove(table, lost) : 0;
      findings.push(toFinding(problemOf(table), lost, repaired));
    }
    return findings;
  }
}

function problemOf(table: string): string {
  return `${table}_without_device`;
}
