import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deviceColumns, type DeviceRef } from '../events/devices-deleted.event.js';

/** A row that was checked; `wrong` if its device does not exist. */
export interface Looked extends DeviceRef {
  readonly wrong: boolean;
}

/** Rows of devices that may be too many to delete with their device in one transaction. */
export interface ManyRows {
  /** Counts the rows of a user's devices, up to `limit`. */
  count(tx: Tx, userId: string, limit: number): Promise<number>;
  /** Deletes at most `limit` rows of these devices, which are locked; returns how many. */
  removeSome(tx: Tx, devices: readonly DeviceRef[], limit: number): Promise<number>;
}

interface LookAndRemove {
  readonly look: Statement;
  readonly remove: Statement;
}

/**
 * The tables whose rows belong to a device. They have the columns `user_id` and `device_id`, which reference `devices`
 * with `ON DELETE CASCADE`; a row whose `device_id` is null belongs to no device. Each module registers its own in the
 * constructor of its store. The reconciler looks through all of them for rows whose device does not exist.
 *
 * @example
 * ```ts
 * @Injectable()
 * class PushersStore {
 *   constructor(tables: DeviceTables) {
 *     tables.register('pushers');
 *   }
 * }
 * ```
 */
@Injectable()
export class DeviceTables {
  private readonly statements = new Map<string, LookAndRemove>();
  private readonly many: ManyRows[] = [];

  constructor(private readonly unitOfWork: UnitOfWork) {}

  /** @throws {Error} if a name is not that of a table, in lower case */
  register(...tables: readonly string[]): void {
    for (const table of tables) {
      if (!/^[a-z_][a-z0-9_]{0,62}$/.test(table)) throw new Error(`${table} is not the name of a table`);
      this.statements.set(table, statementsOf(table));
    }
  }

  /**
   * Registers rows that a device may have very many of. When devices are ended in steps, these rows are removed
   * first, in batches.
   */
  registerMany(rows: ManyRows): void {
    this.many.push(rows);
  }

  /** The names of all tables, in the order in which they were registered. */
  all(): readonly string[] {
    return [...this.statements.keys()];
  }

  /**
   * Counts those rows of a user's devices; each count stops at `limit`.
   * @internal
   */
  async countMany(tx: Tx, userId: string, limit: number): Promise<number> {
    const counts = await tx.inOrder(...this.many.map((rows) => () => rows.count(tx, userId, limit)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /**
   * Removes some of those rows of these devices, which are locked; returns whether there may be more.
   * @internal
   */
  async removeSomeOfMany(tx: Tx, devices: readonly DeviceRef[], limit: number): Promise<boolean> {
    const counts = await tx.inOrder(...this.many.map((rows) => () => rows.removeSome(tx, devices, limit)));
    return counts.some((count) => count === limit);
  }

  /**
   * The devices that the next rows of a table refer to, after the given device; `wrong` if a device does not exist.
   * @internal
   */
  look(table: string, { userId, deviceId }: DeviceRef, limit: number): Promise<Looked[]> {
    return this.unitOfWork.query(this.statements.get(table)!.look, [userId, deviceId, limit]);
  }

  /**
   * Deletes the rows of those devices that do not exist; returns how many.
   * @internal
   */
  async remove(table: string, devices: readonly DeviceRef[]): Promise<number> {
    const { remove } = this.statements.get(table)!;
    return (await this.unitOfWork.runOne(remove, deviceColumns(devices))).length;
  }
}

/**
 * Builds one statement that deletes the rows of devices from several tables of a module, with {@link deviceColumns}
 * as its values. It returns one row for each row deleted from the last table.
 */
export function deletionFrom(name: string, tables: readonly string[]): Statement {
  const deletions = tables.map(deletionOf);
  const others = deletions.slice(0, -1).map((deletion, at) => `, deletion_${at} AS (${deletion})`);
  return {
    name,
    text: `
      WITH ${ENDED}${others.join('')}
      ${deletions.at(-1)} RETURNING t.device_id`,
  };
}

/** The same, but it returns one row, which says by the names of the tables how many rows were deleted. */
export function countedDeletionFrom(name: string, tables: readonly string[]): Statement {
  const deletions = tables.map((table) => `, of_${table} AS (${deletionOf(table)} RETURNING 1)`);
  const counts = tables.map((table) => `(SELECT count(*)::int FROM of_${table}) AS ${table}`);
  return { name, text: `WITH ${ENDED}${deletions.join('')} SELECT ${counts.join(', ')}` };
}

const ENDED = 'ended AS (SELECT * FROM unnest($1::text[], $2::text[]) AS ended (user_id, device_id))';

function deletionOf(table: string): string {
  return `
      DELETE FROM ${table} t USING ended WHERE t.user_id = ended.user_id AND t.device_id = ended.device_id`;
}

function statementsOf(table: string): LookAndRemove {
  return {
    look: {
      name: `device_tables_look_${table}`,
      text: `
        WITH page AS MATERIALIZED (
          SELECT user_id, device_id FROM ${table} WHERE (user_id, device_id) > ($1, $2) AND device_id IS NOT NULL
          ORDER BY user_id, device_id LIMIT $3)
        SELECT DISTINCT page.user_id AS "userId", page.device_id AS "deviceId", d.user_id IS NULL AS wrong
        FROM page LEFT JOIN devices d USING (user_id, device_id) ORDER BY 1, 2`,
    },
    remove: {
      name: `device_tables_remove_${table}`,
      text: `
        DELETE FROM ${table} t USING unnest($1::text[], $2::text[]) AS lost (user_id, device_id)
        WHERE t.user_id = lost.user_id AND t.device_id = lost.device_id
          AND NOT EXISTS (SELECT FROM devices d WHERE d.user_id = t.user_id AND d.device_id = t.device_id)
        RETURNING 1`,
    },
  };
}
