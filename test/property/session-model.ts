import { expect } from 'vitest';
import { type ClientSession, PASSWORD, passwordOf } from '../../src/testing/matrix-client.js';
import type { TestApp } from '../support/test-app.js';

/** The model of a device with a session. */
interface Device {
  name: string | null;
  session: ClientSession;
  readonly unclaimed: Set<string>;
  readonly claimed: Set<string>;
}

/** The expected state of the service: users, each with devices that have a session. */
export class Model {
  readonly users = new Map<string, { userId: string; devices: Map<string, Device> }>();
  /** Sessions that have ended; none of their tokens may ever work again. */
  readonly ended: ClientSession[] = [];
  /** How many one-time keys were claimed. */
  claims = 0;
}

/** The real service. */
export interface Real {
  readonly app: TestApp;
  /** Distinguishes the users of one run from those of another. */
  readonly run: string;
}

/** One action of a user: it changes the model, and the service must match. */
export type Step = (model: Model, real: Real) => Promise<void>;

const call = (
  real: Real,
  session: ClientSession,
  method: 'put' | 'post' | 'delete',
  path: string,
  body: object,
) => real.app.matrix.call(session, method, path).send(body);

function userOf(model: Model, user: string) {
  return model.users.get(user) ?? null;
}

function deviceOf(model: Model, user: string, device: string): Device | null {
  return userOf(model, user)?.devices.get(device) ?? null;
}

/** Ends devices in the model. */
function end(model: Model, user: string, names: readonly string[]): void {
  const { devices } = userOf(model, user)!;
  for (const name of names) {
    const device = devices.get(name);
    if (device === undefined) continue;
    model.ended.push(device.session);
    devices.delete(name);
  }
}

/** Starts a session in the model on a new or known device. */
function begin(model: Model, user: string, session: ClientSession): void {
  const { devices } = userOf(model, user)!;
  const known = devices.get(session.deviceId);
  if (known !== undefined) model.ended.push(known.session);
  devices.set(session.deviceId, {
    ...(known ?? { name: null, unclaimed: new Set<string>(), claimed: new Set<string>() }),
    session,
  });
}

export const register =
  (user: string, device: string): Step =>
  async (model, real) => {
    const username = `${user}-${real.run}`;
    const body = { username, password: PASSWORD, auth: { type: 'm.login.dummy' }, device_id: device };
    const answer = await real.app.http
      .post('/_matrix/client/v3/register')
      .send({ ...body, refresh_token: true });
    if (model.users.has(user)) {
      expect(answer).toMatchObject({ status: 400, body: { errcode: 'M_USER_IN_USE' } });
      return;
    }
    expect(answer.status).toBe(200);
    const { user_id: userId, access_token: accessToken, refresh_token: refreshToken } = answer.body;
    model.users.set(user, { userId, devices: new Map() });
    begin(model, user, { userId, deviceId: device, accessToken, refreshToken });
  };

export const login =
  (user: string, device: string): Step =>
  async (model, { app }) => {
    const { userId } = userOf(model, user) ?? {};
    if (userId === undefined) return;
    begin(model, user, await app.matrix.login(userId, { device_id: device, refresh_token: true }));
  };

export const refresh =
  (user: string, device: string): Step =>
  async (model, { app }) => {
    const known = deviceOf(model, user, device);
    if (known === null) return;
    const { body } = await app.matrix.refresh(known.session.refreshToken!).expect(200);
    known.session = {
      ...known.session,
      accessToken: body.access_token,
      refreshToken: body.refresh_token,
    };
  };

export const upload =
  (user: string, device: string, keyIds: readonly number[]): Step =>
  async (model, { app }) => {
    const known = deviceOf(model, user, device);
    if (known === null) return;
    const keys = keyIds.map((keyId) => [`curve25519:${keyId}`, `key ${keyId}`]);
    const { body } = await app.matrix
      .uploadKeys(known.session, {
        one_time_keys: Object.fromEntries(keys),
        device_keys: {
          user_id: known.session.userId,
          device_id: device,
          algorithms: [],
          keys: {},
          signatures: {},
        },
      })
      .expect(200);
    for (const keyId of keyIds) if (!known.claimed.has(String(keyId))) known.unclaimed.add(String(keyId));
    expect(body.one_time_key_counts['curve25519'] ?? 0).toBe(known.unclaimed.size);
  };

export const claim =
  (user: string, device: string): Step =>
  async (model, real) => {
    const owner = userOf(model, user);
    const [claimer] = [...(owner?.devices.values() ?? [])];
    if (owner === null || claimer === undefined) return;
    const body = { one_time_keys: { [owner.userId]: { [device]: 'curve25519' } } };
    const answer = await call(real, claimer.session, 'post', '/keys/claim', body).expect(200);
    const [name] = Object.keys(answer.body.one_time_keys[owner.userId]?.[device] ?? {});
    const known = owner.devices.get(device);
    if (known === undefined || known.unclaimed.size === 0) {
      expect(name).toBeUndefined();
      return;
    }
    const keyId = name!.split(':')[1]!;
    expect(known.unclaimed.delete(keyId)).toBe(true);
    known.claimed.add(keyId);
    model.claims += 1;
  };

export const rename =
  (user: string, device: string, name: string): Step =>
  async (model, real) => {
    const owner = userOf(model, user);
    const [caller] = [...(owner?.devices.values() ?? [])];
    if (owner === null || caller === undefined) return;
    const known = owner.devices.get(device);
    const answer = await call(real, caller.session, 'put', `/devices/${device}`, { display_name: name });
    expect(answer.status).toBe(known === undefined ? 404 : 200);
    if (known !== undefined) known.name = name;
  };

export const deleteDevices =
  (user: string, names: readonly string[]): Step =>
  async (model, real) => {
    const [caller] = [...(userOf(model, user)?.devices.values() ?? [])];
    if (caller === undefined) return;
    const auth = passwordOf(caller.session);
    const [only] = names;
    const answer =
      names.length === 1
        ? call(real, caller.session, 'delete', `/devices/${only!}`, { auth })
        : call(real, caller.session, 'post', '/delete_devices', { devices: names, auth });
    await answer.expect(200, {});
    end(model, user, names);
  };

export const logout =
  (user: string, device: string): Step =>
  async (model, { app }) => {
    const known = deviceOf(model, user, device);
    if (known === null) return;
    await app.matrix.logout(known.session).expect(200, {});
    end(model, user, [device]);
  };

export const logoutAll =
  (user: string, device: string): Step =>
  async (model, { app }) => {
    const known = deviceOf(model, user, device);
    if (known === null) return;
    await app.matrix.logoutAll(known.session).expect(200, {});
    end(model, user, [...userOf(model, user)!.devices.keys()]);
  };

/** Checks what must hold after every step. */
export async function requireInvariants(model: Model, { app }: Real): Promise<void> {
  const orphans = await app.sql(`
    SELECT 'token without device' FROM access_tokens LEFT JOIN devices d USING (user_id, device_id) WHERE d IS NULL
    UNION ALL
    SELECT 'refresh token without device' FROM refresh_tokens LEFT JOIN devices d USING (user_id, device_id) WHERE d IS NULL
    UNION ALL
    SELECT 'identity without device' FROM device_keys LEFT JOIN devices d USING (user_id, device_id) WHERE d IS NULL
    UNION ALL
    SELECT 'one-time key without device' FROM one_time_keys LEFT JOIN devices d USING (user_id, device_id) WHERE d IS NULL
    UNION ALL
    SELECT 'device without token' FROM devices LEFT JOIN access_tokens t USING (user_id, device_id) WHERE t IS NULL`);
  expect(orphans).toEqual([]);
  for (const { userId, devices } of model.users.values()) {
    const rows = await app.sql(
      `SELECT d.device_id AS id, display_name AS name,
         coalesce(array_agg(key_id ORDER BY key_id) FILTER (WHERE key_id IS NOT NULL AND claimed_at IS NULL), '{}') AS keys
       FROM devices d LEFT JOIN one_time_keys USING (user_id, device_id) WHERE user_id = $1
       GROUP BY d.device_id, display_name ORDER BY d.device_id`,
      [userId],
    );
    const expected = [...devices].toSorted(([one], [other]) => (one < other ? -1 : 1));
    expect(rows).toEqual(
      expected.map(([id, { name, unclaimed }]) => ({ id, name, keys: [...unclaimed].toSorted() })),
    );
    for (const { session } of devices.values())
      expect(await app.matrix.whoami(session)).toMatchObject({ status: 200 });
  }
  for (const session of model.ended) expect(await app.matrix.whoami(session)).toMatchObject({ status: 401 });
}
