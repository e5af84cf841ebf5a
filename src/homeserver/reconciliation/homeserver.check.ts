import { Injectable, Logger } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import { Environment } from '../../config/environment.js';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import { type Check, type Finding, type Positions, toFinding } from '../../reconciler/finding.js';
import { Homeserver } from '../homeserver.port.js';
import { Comparison, type Difference } from './comparison.js';
import { Repairs } from './repairs.js';

/** How many users are compared at a time, each with a call of the homeserver. */
const PAGE = 100;
const AT_ONCE = 4;
const POSITION = 'homeserver';
const PROBLEMS = [
  'homeserver_unreachable',
  'homeserver_users_missing',
  'homeserver_users_taken',
  'homeserver_devices_left',
  'homeserver_devices_missing',
];

/** Finds users and devices that differ from those of the homeserver. What is here is right. */
@Injectable()
export class HomeserverCheck implements Check {
  private readonly logger = new Logger(HomeserverCheck.name);

  constructor(
    private readonly homeserver: Homeserver,
    private readonly accounts: AccountsService,
    private readonly comparison: Comparison,
    private readonly repairs: Repairs,
    private readonly environment: Environment,
  ) {}

  tables(): readonly string[] {
    return [POSITION];
  }

  problems(): readonly string[] {
    return PROBLEMS;
  }

  async look(repair: boolean, positions: Positions): Promise<Finding[]> {
    const from = positions[POSITION];
    if (from === null) return [];
    if (!this.homeserver.isUp)
      return [toFinding('homeserver_unreachable', [{ userId: '', deviceId: '' }], 0)];
    const accounts = await this.accounts.page(from?.userId ?? '', PAGE);
    const last = accounts.at(-1);
    const differences = await this.compare(accounts.filter(({ isActive }) => isActive));
    positions[POSITION] = last === undefined ? null : { userId: last.userId, deviceId: '' };
    return this.report(differences, repair && this.environment.homeserver.reconcile === 'repair');
  }

  private async compare(accounts: readonly { readonly userId: string }[]): Promise<Difference[]> {
    const differences: Difference[] = [];
    for (let at = 0; at < accounts.length; at += AT_ONCE) {
      const few = accounts.slice(at, at + AT_ONCE);
      const outcomes = await Promise.allSettled(few.map(({ userId }) => this.comparison.of(userId)));
      // One user who cannot be compared must not keep the others from it.
      outcomes.forEach((outcome, nth) => {
        if (outcome.status === 'fulfilled') differences.push(outcome.value);
        else this.logger.warn(`${few[nth]!.userId} could not be compared: ${String(outcome.reason)}`);
      });
    }
    return differences;
  }

  private async report(differences: readonly Difference[], repair: boolean): Promise<Finding[]> {
    const missingUsers = differences.filter(({ isMissing }) => isMissing);
    const left: DeviceRef[] = differences.flatMap(({ userId, left: ids }) =>
      ids.map((deviceId) => ({ userId, deviceId })),
    );
    const missing = differences.flatMap((difference) => difference.missing);
    if (repair) {
      for (const { userId } of missingUsers) await this.repairs.introduce(userId);
      await this.repairs.remove(left);
    }
    const ended = repair ? await this.repairs.end(missing) : 0;
    return [
      toFinding(
        'homeserver_users_missing',
        missingUsers.map(({ userId }) => ({ userId, deviceId: '' })),
        repair ? missingUsers.length : 0,
      ),
      toFinding(
        'homeserver_users_taken',
        differences.filter(({ isTaken }) => isTaken).map(({ userId }) => ({ userId, deviceId: '' })),
        0,
      ),
      toFinding('homeserver_devices_left', left, repair ? left.length : 0),
      toFinding('homeserver_devices_missing', missing, ended),
    ];
  }
}
