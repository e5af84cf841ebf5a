import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import type { ImportedAccount } from '../../accounts/accounts.store.js';
import { EnvironmentError } from '../../config/environment.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { serverNameOf } from '../../matrix/user-id.js';
import {
  type Imported,
  type SessionImport,
  SessionImportService,
} from '../../session/import/session-import.service.js';
import { Clock } from '../../system/clock.js';
import { HomeserverStore } from '../homeserver.store.js';
import type { SynapseSource } from './synapse-source.js';

/** Users in one commit. */
const BATCH = 200;

/** What an import should do. */
export interface ImportOptions {
  /** Whose users are imported. */
  readonly serverName: string;
  /** Only count what would be imported. */
  readonly dryRun: boolean;
  /** Where an earlier import ended: begin behind this user ID. */
  readonly after: string;
  /** Called after each batch. */
  readonly report: (progress: ImportProgress) => void;
}

/** How far an import has come. */
export interface ImportProgress extends Omit<Imported, 'userIds'> {
  /** Accounts that were made. */
  readonly accounts: number;
  /** Users that were looked at. */
  readonly users: number;
  /** People who have no password at Synapse, because they sign in by SSO there. */
  readonly withoutPassword: number;
  /** Users who have an account here that was not imported: nothing of theirs is. */
  readonly conflicts: readonly string[];
  /** The last user of the batch, behind whom another import may begin. */
  readonly last: string;
}

/** A dry run rolls back what it has done. */
class DryRun extends Error {
  constructor(readonly imported: Imported) {
    super('A dry run');
  }
}

/** Imports users, devices and tokens from the database of a Synapse, in batches, each in one commit. */
@Injectable()
export class SynapseImport {
  constructor(
    private readonly sessions: SessionImportService,
    private readonly accounts: AccountsService,
    private readonly store: HomeserverStore,
    private readonly unitOfWork: UnitOfWork,
    private readonly clock: Clock,
  ) {}

  /**
   * Imports everything behind `after`. The second call imports what is new since the first one, and nothing twice.
   * @throws {EnvironmentError} if the database is that of another server
   */
  async run(
    source: SynapseSource,
    { serverName, dryRun, after, report }: ImportOptions,
  ): Promise<ImportProgress> {
    await requireServer(source, serverName);
    let progress: ImportProgress = {
      users: 0,
      accounts: 0,
      devices: 0,
      accessTokens: 0,
      refreshTokens: 0,
      incomplete: [],
      withoutPassword: 0,
      conflicts: [],
      last: after,
    };
    for (;;) {
      const batch = await source.next(progress.last, BATCH, this.clock.now());
      if (batch === null) return progress;
      progress = await this.import(batch, progress, dryRun);
      report(progress);
    }
  }

  private async import(
    batch: SessionImport,
    before: ImportProgress,
    dryRun: boolean,
  ): Promise<ImportProgress> {
    const conflicts = await this.conflictsOf(batch);
    const isOurs = ({ userId }: { readonly userId: string }) => !conflicts.has(userId);
    const imported = await this.commit(
      {
        accounts: batch.accounts.filter(isOurs),
        devices: batch.devices.filter(isOurs),
        accessTokens: batch.accessTokens.filter(isOurs),
        refreshTokens: batch.refreshTokens.filter(isOurs),
      },
      dryRun,
    );
    return {
      users: before.users + batch.accounts.length,
      accounts: before.accounts + imported.userIds.length,
      devices: before.devices + imported.devices,
      accessTokens: before.accessTokens + imported.accessTokens,
      refreshTokens: before.refreshTokens + imported.refreshTokens,
      incomplete: [...before.incomplete, ...imported.incomplete],
      withoutPassword: before.withoutPassword + batch.accounts.filter(hasNoPassword).length,
      conflicts: [...before.conflicts, ...conflicts],
      last: batch.accounts.at(-1)!.userId,
    };
  }

  private async commit(batch: SessionImport, dryRun: boolean): Promise<Imported> {
    try {
      return await this.unitOfWork.run(async (tx) => {
        const imported = await this.sessions.import(tx, batch);
        await this.store.linkAll(tx, imported.userIds);
        if (dryRun) throw new DryRun(imported);
        return imported;
      });
    } catch (error) {
      if (error instanceof DryRun) return error.imported;
      throw error;
    }
  }

  /** Users who have an account here that is not the imported one. */
  private async conflictsOf({ accounts }: SessionImport): Promise<Set<string>> {
    const userIds = accounts.map(({ userId }) => userId);
    const [kinds, linked] = [await this.accounts.kindsOf(userIds), await this.store.linked(userIds)];
    const conflicts = accounts.filter(({ userId, kind }) => {
      const here = kinds.get(userId);
      // The users of application services belong to them on both sides.
      const isShared = here === 'appservice' && kind === 'appservice';
      return here !== undefined && !linked.has(userId) && !isShared;
    });
    return new Set(conflicts.map(({ userId }) => userId));
  }
}

function hasNoPassword({ kind, passwordHash, isDeactivated }: ImportedAccount): boolean {
  return kind === 'user' && passwordHash === null && !isDeactivated;
}

async function requireServer(source: SynapseSource, serverName: string): Promise<void> {
  const user = await source.someUser();
  if (user !== null && serverNameOf(user) !== serverName)
    throw new EnvironmentError([
      `SERVER_NAME is ${serverName}, but the database holds users of ${serverNameOf(user)}`,
    ]);
}
