import pg from 'pg';
import { describe, expect, it, vi } from 'vitest';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { census, NOTHING, useApp } from '../support/test-app.js';

const app = useApp();
const ONE_TIME_KEYS = 50;

/** Creates a user with this many more devices, each with a token, all kinds of keys and 50 one-time keys. */
async function userWith(devices: number): Promise<ClientSession> {
  const session = await app().matrix.register({ refresh_token: true });
  const values = [session.userId, devices];
  const each = `FROM generate_series(1, $2::int) AS n`;
  await app().sql(`INSERT INTO devices SELECT $1, 'D' || n, 'name', now() ${each}`, values);
  await app().sql(
    `INSERT INTO access_tokens SELECT $1, sha256(('D' || n)::bytea), 'D' || n, false, now(), NULL ${each}`,
    values,
  );
  await app().sql(
    `INSERT INTO refresh_tokens SELECT $1, 'D' || n, sha256(('D' || n)::bytea), '\\x00', NULL, now(), now() ${each}`,
    values,
  );
  await app().sql(`INSERT INTO device_keys SELECT $1, 'D' || n, '{}', now() ${each}`, values);
  await app().sql(
    `INSERT INTO fallback_keys SELECT $1, 'D' || n, 'curve25519', 'F', '"f"', false, now() ${each}`,
    values,
  );
  await app().sql(
    `INSERT INTO one_time_keys SELECT $1, 'D' || n, 'curve25519', k::text, '"o"', now(), 1
     ${each}, generate_series(1, ${ONE_TIME_KEYS}) AS k`,
    values,
  );
  await app().sql(
    `INSERT INTO key_signatures SELECT $1, $1, 'D' || n, 'ed25519:K', 'D' || n, 's' ${each}`,
    values,
  );
  return session;
}

/** Logs out all sessions of the user and returns the names of the executed statements. */
async function statementsOfLogoutAll(session: ClientSession): Promise<string[]> {
  const query = vi.spyOn(pg.Client.prototype, 'query');
  try {
    await app().matrix.logoutAll(session).expect(200);
    return query.mock.calls.map(([config]) =>
      typeof config === 'string' ? config : (config as { name: string }).name,
    );
  } finally {
    query.mockRestore();
  }
}

describe('POST /logout/all of a user with 1,000 devices and 50 one-time keys each', () => {
  it('deletes everything with as many statements as for a user with one device', async () => {
    const many = await userWith(1_000);
    const one = await userWith(0);
    const before = await census(app(), many.userId);
    expect(before).toMatchObject({
      devices: 1_001,
      access_tokens: 1_001,
      one_time_keys: 1_000 * ONE_TIME_KEYS,
    });
    const statements = await statementsOfLogoutAll(many);
    expect(statements).toContain('keys_delete_of_devices');
    expect(statements.length).toBeLessThan(17);
    expect(await statementsOfLogoutAll(one)).toEqual(statements);
    expect(await census(app(), many.userId)).toEqual(NOTHING);
  });
});
