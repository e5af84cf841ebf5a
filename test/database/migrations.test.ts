import { DataSource, type QueryRunner } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { dataSourceOptions } from '../../src/database/data-source.js';
import { migrations, type MigrationClass } from '../../src/database/own-migrations.js';
import { createDatabase } from '../support/database.js';
import { type Contents, contents, fillTables, type Row, structure } from '../support/filler.js';

/** What is special about a migration. Without any of this, it adds tables, columns and indexes, and changes no row. */
interface Step {
  /** Rows whose meaning matters to it, besides the generic ones. */
  readonly before?: string;
  /** What happens while the new schema is in use, before it is reverted. */
  readonly meanwhile?: string;
  /** All values that the new columns of old rows have: by table and column. */
  readonly filledIn?: Readonly<Record<string, readonly (string | null)[]>>;
  /** What else is true of the migrated rows. */
  readonly says?: (after: Contents) => void;
  /** Tables that it adds. Reverting it loses all their rows. */
  readonly adds?: readonly string[];
  /** A table that it replaces. */
  readonly dropped?: string;
  /** Old values that it changes: how a row looks afterwards. */
  readonly changed?: (table: string, row: Row) => Row;
  /** Old rows that reverting it loses. */
  readonly lost?: (table: string, row: Row) => boolean;
  /** What the old rows are, after it was reverted, if that is not what they were. */
  readonly restored?: (table: string, row: Row) => Row;
}

const DEVICE = `'user_id 1', 'device_id 1'`;
const STEPS: Readonly<Record<string, Step>> = {
  Outbox1764010000000: { adds: ['event_deliveries', 'event_subscribers'] },
  Audit1764020000000: { adds: ['audit_entries'] },
  ReconcilerRounds1764050000000: { adds: ['reconciler_rounds'] },
  Bounds1764060000000: { adds: ['ending_devices'] },
  Homeserver1764090000000: { adds: ['homeserver_second_looks', 'homeserver_users'] },
  InitialSchema1763900000000: {
    adds: [
      'access_tokens',
      'accounts',
      'device_keys',
      'devices',
      'fallback_keys',
      'one_time_keys',
      'refresh_tokens',
      'uia_sessions',
    ],
  },
  SessionLife1763950000000: {
    adds: ['login_tokens', 'rate_limits', 'session_families'],
    filledIn: {
      'accounts.kind': ['user'],
      'accounts.deactivated_at': [null],
      'accounts.locked_at': [null],
      'accounts.suspended_at': [null],
      'refresh_tokens.superseded_digest': [null],
      'uia_sessions.device_id': [null],
    },
    // A device that ends takes its authentication sessions with it.
    meanwhile: `UPDATE uia_sessions SET device_id = 'device_id 1' WHERE user_id = 'user_id 1'`,
  },
  DevicesAndKeys1763990000000: {
    adds: ['cross_signing_keys', 'device_list_changes', 'device_lists', 'key_signatures'],
    before: `
      INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key, uploaded_at) VALUES
        (${DEVICE}, 'a', 'third of a', '{}', '2026-03-01'), (${DEVICE}, 'a', 'z, the second', '{}', '2026-02-01'),
        (${DEVICE}, 'b', 'z, the second', '{}', '2026-02-01')`,
    filledIn: {
      'devices.last_seen_at': [null],
      'devices.last_seen_ip': [null],
      'devices.last_seen_user_agent': [null],
      'one_time_keys.claimed_at': [null],
      'one_time_keys.batch': ['1', '2', '3'],
    },
    // One-time keys are given out in the order in which they were uploaded.
    says: (after) =>
      expect(
        after
          .get('one_time_keys')!
          .filter((row) => row['device_id'] === 'device_id 1')
          .map((row) => [row['algorithm'], row['key_id'], row['batch']])
          .toSorted(),
      ).toEqual([
        ['a', 'third of a', '3'],
        ['a', 'z, the second', '2'],
        ['algorithm 1', 'key_id 1', '1'],
        ['b', 'z, the second', '2'],
      ]),
    // What was claimed must not be given out again.
    meanwhile: `UPDATE one_time_keys SET claimed_at = now() WHERE key_id = 'z, the second' AND algorithm = 'a'`,
    lost: (table, row) =>
      table === 'one_time_keys' && row['key_id'] === 'z, the second' && row['algorithm'] === 'a',
  },
  EventSubscriptions1764030000000: {
    adds: ['event_subscriptions'],
    before: `
      INSERT INTO event_subscribers (name, events, seen_at) VALUES
        ('webhook:a', '{devices.deleted,devices.created}', '2026-02-01'), ('webhook:none', '{}', '2026-02-01')`,
    dropped: 'event_subscribers',
    says: (after) => {
      const subscriptions = after.get('event_subscriptions')!;
      expect(subscriptions.map((row) => [row['subscriber'], row['event']])).toEqual(
        expect.arrayContaining([
          ['name 1', 'events 1'],
          ['name 1', 'events of 1'],
          ['webhook:a', 'devices.created'],
          ['webhook:a', 'devices.deleted'],
        ]),
      );
      expect(subscriptions).toHaveLength(6);
      expect(new Set(subscriptions.map((row) => row['seen_at']?.slice(0, 7)))).toEqual(
        new Set(['2026-01', '2026-02']),
      );
    },
    // Nobody is interested in a subscriber of no events.
    lost: (table, row) => table === 'event_subscribers' && row['name'] === 'webhook:none',
    // Their order never meant anything.
    restored: (table, row) =>
      table === 'event_subscribers' && row['name'] === 'webhook:a'
        ? { ...row, events: '["devices.created", "devices.deleted"]' }
        : row,
  },
  AuditActor1764040000000: { filledIn: { 'audit_entries.actor': [null] } },
  SecondThoughts1764070000000: {
    filledIn: {
      'uia_sessions.secret': [null],
      'uia_sessions.proven': [null],
      'uia_sessions.result': [null],
      'refresh_tokens.retired_digests': ['[]'],
      'refresh_tokens.retired_at': ['[]'],
    },
  },
  SessionsByUser1764080000000: {
    before: `
      INSERT INTO uia_sessions (session_id, operation, user_id, parameters, completed, expires_at)
        VALUES ('of a user', 'o', 'user_id 2', '{}', '[]', now()), ('of nobody', 'o', NULL, '{}', '[]', now())`,
    changed: (table, row) =>
      table === 'uia_sessions' && row['user_id'] === null ? { ...row, user_id: row['session_id']! } : row,
  },
  OAuth1764100000000: {
    adds: ['browser_sessions', 'oauth_clients', 'oauth_device_grants', 'oauth_grants'],
    filledIn: {
      'refresh_tokens.oauth_client_id': [null],
      'refresh_tokens.oauth_scope': [null],
      'refresh_tokens.session_digest': [null],
      'access_tokens.is_oauth': ['false'],
      'audit_entries.client_id': [null],
      'uia_sessions.is_on_page': ['false'],
    },
    // The sessions of clients stay, as sessions without a client.
    meanwhile: `
      UPDATE refresh_tokens SET oauth_client_id = 'client_id 1', oauth_scope = 's', session_digest = '\\x01';
      UPDATE access_tokens SET is_oauth = true`,
  },
  Administration1764120000000: {
    adds: ['ending_jobs', 'registration_tokens'],
    filledIn: { 'accounts.is_admin': ['false'] },
  },
  Traces1764130000000: { filledIn: { 'event_deliveries.trace_parent': [null] } },
};

/** Runs `work` on a database to which these migrations, and no later ones, are applied by TypeORM. */
async function withMigrations<Result>(
  location: Parameters<typeof dataSourceOptions>[0],
  applied: readonly MigrationClass[],
  work: (source: DataSource, runner: QueryRunner) => Promise<Result>,
): Promise<Result> {
  const options = { ...dataSourceOptions(location, 2), migrations: [...applied] };
  const source = await new DataSource(options).initialize();
  const runner = source.createQueryRunner();
  try {
    return await work(source, runner);
  } finally {
    await runner.release();
    await source.destroy();
  }
}

const sorted = (rows: readonly Row[]) =>
  rows.map((row) => JSON.stringify(Object.entries(row).toSorted())).toSorted();

/** The rows, with these columns only. */
const only = (rows: readonly Row[], columns: readonly string[]) =>
  rows.map((row) => Object.fromEntries(columns.map((column) => [column, row[column]!])) as Row);

describe('Every migration on data', () => {
  it('has a name that is known here, if something is special about it', () => {
    const names = migrations.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(Object.keys(STEPS)));
  });

  it.each(migrations.map((migration, at) => [migration.name, at] as const))(
    'loses nothing on the way up, down and up again: %s',
    async (name, at) => {
      const { before, meanwhile, filledIn, says, adds, dropped, changed, lost, restored }: Step =
        STEPS[name] ?? {};
      const database = await createDatabase('empty');
      try {
        const [older, newer] = [migrations.slice(0, at), migrations.slice(0, at + 1)];
        const [old, oldStructure] = await withMigrations(database.location, older, async (source, runner) => {
          await source.runMigrations();
          await fillTables(runner, () => true);
          if (before !== undefined) await runner.query(before);
          return [await contents(runner), await structure(runner)] as const;
        });
        for (const [table, rows] of old) expect([table, rows.length >= 2]).toEqual([table, true]);

        /** Old rows are there; what is new about them is as described. */
        const expectKept = (after: Contents, is: (table: string, row: Row) => boolean) => {
          for (const [table, rows] of old) {
            expect([table, after.has(table)]).toEqual([table, table !== dropped]);
            if (table === dropped) continue;
            const kept = rows.filter((row) => is(table, row)).map((row) => changed?.(table, row) ?? row);
            const [columns, now] = [Object.keys(rows[0]!), after.get(table)!];
            expect([table, sorted(only(now, columns))]).toEqual([table, sorted(kept)]);
          }
        };

        await withMigrations(database.location, newer, async (source, runner) => {
          await source.runMigrations();
          const after = await contents(runner);
          expectKept(after, () => true);
          says?.(after);
          const found: Record<string, Set<string | null>> = {};
          for (const [table, rows] of after)
            for (const row of old.has(table) ? rows : [])
              for (const [column, value] of Object.entries(row))
                if (!(column in old.get(table)![0]!)) (found[`${table}.${column}`] ??= new Set()).add(value);
          const values = Object.entries(found).map(([column, all]) => [column, [...all].toSorted()] as const);
          expect(Object.fromEntries(values)).toEqual(filledIn ?? {});
          const newStructure = await structure(runner);

          // The new schema is used: what is new has rows, too.
          await fillTables(runner, (table) => !old.has(table) && after.get(table)!.length === 0);
          if (meanwhile !== undefined) await runner.query(meanwhile);

          const used = await contents(runner);
          const added = [...used].filter(([table, rows]) => !old.has(table) && rows.length >= 2);
          expect(added.map(([table]) => table)).toEqual(adds ?? []);

          await source.undoLastMigration();
          const reverted = await contents(runner);
          expect([...reverted.keys()]).toEqual([...old.keys()]);
          for (const [table, rows] of old) {
            const expected = rows
              .filter((row) => !(lost?.(table, row) ?? false))
              .map((row) => restored?.(table, row) ?? row);
            expect([table, sorted(reverted.get(table)!)]).toEqual([table, sorted(expected)]);
          }
          expect(await structure(runner)).toEqual(oldStructure);

          await source.runMigrations();
          expectKept(await contents(runner), (table, row) => !(lost?.(table, row) ?? false));
          expect(await structure(runner)).toEqual(newStructure);
        });
      } finally {
        await database.drop();
      }
    },
  );
});
