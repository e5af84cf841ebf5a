import { createClient, type ICreateClientOpts, MatrixError } from 'matrix-js-sdk';
import { beforeAll, describe, expect, it } from 'vitest';
import { PASSWORD, uniqueUsername } from '../../src/testing/matrix-client.js';
import { useApp } from '../support/test-app.js';

const app = useApp({ variables: { ACCESS_TOKEN_TTL: '5m' } });

let baseUrl: string;
beforeAll(async () => {
  baseUrl = (await app().nest.getUrl()).replace('[::1]', '127.0.0.1');
});

const SILENT = Object.fromEntries(
  ['trace', 'debug', 'info', 'warn', 'error'].map((level) => [level, () => {}]),
);
const logger = { ...SILENT, getChild: () => logger } as unknown as NonNullable<ICreateClientOpts['logger']>;

const client = (options: Partial<ICreateClientOpts> = {}) => createClient({ baseUrl, logger, ...options });

/** Returns a logged-in client of the given user, or else of a new one. */
async function loggedIn(user?: string, options: Partial<ICreateClientOpts> = {}) {
  const anonymous = client();
  const username = user ?? uniqueUsername();
  if (user === undefined) {
    const auth = { type: 'm.login.dummy' };
    await anonymous.registerRequest({ username, password: PASSWORD, auth, inhibit_login: true });
  }
  const identifier = { type: 'm.id.user', user: username };
  const session = await anonymous.loginRequest({
    type: 'm.login.password',
    identifier,
    password: PASSWORD,
    refresh_token: options.tokenRefreshFunction !== undefined,
  });
  return client({
    accessToken: session.access_token,
    userId: session.user_id,
    deviceId: session.device_id,
    ...(session.refresh_token === undefined ? {} : { refreshToken: session.refresh_token }),
    ...options,
  });
}

/** Returns the error of a call that must fail. */
async function failure(call: Promise<unknown>): Promise<MatrixError> {
  return call.then(
    () => expect.fail('the call succeeded'),
    (error: unknown) => error as MatrixError,
  );
}

const idsOf = async (one: { getDevices(): Promise<{ devices: { device_id: string }[] }> }) =>
  (await one.getDevices()).devices.map(({ device_id }) => device_id);

describe('matrix-js-sdk', () => {
  it('logs in and asks who it is', async () => {
    const alice = await loggedIn();
    expect(await alice.whoami()).toEqual({
      user_id: alice.getUserId(),
      device_id: alice.getDeviceId(),
      is_guest: false,
    });
  });

  it('lists and renames devices', async () => {
    const alice = await loggedIn();
    await alice.setDeviceDetails(alice.getDeviceId()!, { display_name: 'My laptop' });
    expect((await alice.getDevices()).devices).toMatchObject([
      { device_id: alice.getDeviceId(), display_name: 'My laptop', last_seen_ip: '127.0.0.1' },
    ]);
    expect(await alice.getDevice(alice.getDeviceId()!)).toMatchObject({ display_name: 'My laptop' });
  });

  it('deletes devices, one and many, with user-interactive authentication', async () => {
    const alice = await loggedIn();
    const user = alice.getUserId()!;
    const others = [await loggedIn(user), await loggedIn(user), await loggedIn(user)];
    const [one, ...rest] = others.map((other) => other.getDeviceId()!);
    const answerTo = async (challenge: MatrixError) => {
      expect(challenge).toMatchObject({ httpStatus: 401 });
      return {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user },
        password: PASSWORD,
        session: challenge.data['session'] as string,
      };
    };
    const auth = await answerTo(await failure(alice.deleteDevice(one!)));
    expect(await alice.deleteDevice(one!, auth)).toEqual({});
    const again = await answerTo(await failure(alice.deleteMultipleDevices(rest)));
    expect(await alice.deleteMultipleDevices(rest, again)).toEqual({});
    expect(await idsOf(alice)).toEqual([alice.getDeviceId()]);
    for (const other of others)
      expect(await failure(other.whoami())).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN', httpStatus: 401 });
  });

  it('refreshes its tokens by itself when the access token has expired', async () => {
    let refreshed = 0;
    const alice = await loggedIn(undefined, {
      tokenRefreshFunction: async (refreshToken) => {
        refreshed += 1;
        const answer = await client().refreshToken(refreshToken);
        return { accessToken: answer.access_token, refreshToken: answer.refresh_token };
      },
    });
    await alice.whoami();
    expect(refreshed).toBe(0);
    app().clock.advance(6 * 60_000);
    expect(await alice.whoami()).toMatchObject({ user_id: alice.getUserId() });
    expect(refreshed).toBe(1);
  });

  it('logs out: its token is unknown, and its device is deleted', async () => {
    const alice = await loggedIn();
    const phone = await loggedIn(alice.getUserId()!);
    expect(await alice.logout()).toEqual({});
    const refusal = await failure(alice.whoami());
    expect(refusal).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN', httpStatus: 401 });
    expect(refusal.data).not.toHaveProperty('soft_logout');
    expect(await idsOf(phone)).toEqual([phone.getDeviceId()]);
  });

  it('logs out everywhere', async () => {
    const alice = await loggedIn();
    const phone = await loggedIn(alice.getUserId()!);
    expect(await alice.http.authedRequest('POST' as never, '/logout/all')).toEqual({});
    for (const one of [alice, phone])
      expect(await failure(one.whoami())).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
    expect(await idsOf(await loggedIn(alice.getUserId()!))).toHaveLength(1);
  });
});
