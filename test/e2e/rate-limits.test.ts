import { describe, expect, it } from 'vitest';
import { ThreepidDirectory } from '../../src/index.js';
import { PASSWORD, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { PasswordHasher } from '../../src/system/password-hasher.js';
import { Bystander, lockWaiters } from '../support/interleaving.js';
import { TestApp, useApp } from '../support/test-app.js';

/** User IDs by e-mail address. */
const aliases = new Map<string, string>();

class Aliases extends ThreepidDirectory {
  async find(_: string, address: string): Promise<string | null> {
    return aliases.get(address) ?? null;
  }
}

const app = useApp({
  threepids: new Aliases(),
  variables: {
    RATE_LIMITS: 'on',
    TRUST_PROXY: '1',
    RATE_LIMIT_LOGIN_FAILED_ACCOUNT: '3/1h',
    RATE_LIMIT_LOGIN_FAILED_ADDRESS: '5/1h',
    RATE_LIMIT_REGISTRATION: '2/1h',
    RATE_LIMIT_REFRESH: '2/1h',
    RATE_LIMIT_GET_TOKEN: '1/1h',
    RATE_LIMIT_VALIDITY: '2/1h',
    RATE_LIMIT_AVAILABLE: '2/1h',
    RATE_LIMIT_CHALLENGE: '8/1h',
    RATE_LIMIT_KEYS_UPLOAD: '3/1h',
    RATE_LIMIT_KEYS_QUERY: '3/1h',
    RATE_LIMIT_KEYS_CLAIM: '3/1h',
  },
});

let addresses = 0;
/** Returns an address for which nothing has been counted yet. */
const address = () => `10.0.${Math.floor((addresses += 1) / 250)}.${addresses % 250}`;

const post = (path: string, from: string, body: object) =>
  app().http.post(`${V3}/${path}`).set('X-Forwarded-For', from).send(body);
const register = (from = address(), username = uniqueUsername()) =>
  post('register', from, {
    username,
    password: PASSWORD,
    refresh_token: true,
    auth: { type: 'm.login.dummy' },
  });
const login = (user: string, password: string, from = address()) =>
  post('login', from, { type: 'm.login.password', user, password });

/** Expects 429 with the waiting time in the body and in the header. */
function expectLimited({
  status,
  body,
  headers,
}: {
  status: number;
  body: unknown;
  headers: Record<string, string>;
}): void {
  expect({ status, body }).toEqual({
    status: 429,
    body: { errcode: 'M_LIMIT_EXCEEDED', error: expect.any(String), retry_after_ms: expect.any(Number) },
  });
  expect(Number(headers['retry-after'])).toBeGreaterThan(0);
}

describe('Rate limits', () => {
  it('count failed logins to an account from all addresses, and then refuse even the right password', async () => {
    const { body } = await register().expect(200);
    for (let tries = 0; tries < 3; tries += 1) await login(body.user_id, 'wrong').expect(403);
    expectLimited(await login(body.user_id, 'wrong'));
    expectLimited(await login(body.user_id, PASSWORD));
  });

  it('count failed logins from an address to all accounts', async () => {
    const from = address();
    const { body } = await register().expect(200);
    for (let tries = 0; tries < 5; tries += 1) await login(`nobody${tries}`, 'wrong', from).expect(403);
    expectLimited(await login(body.user_id, PASSWORD, from));
    await login(body.user_id, PASSWORD).expect(200);
  });

  it('apply equally to unknown and known users, however the name is spelled', async () => {
    const { body } = await register().expect(200);
    const known = body.user_id.slice(1, body.user_id.indexOf(':'));
    const statuses = [];
    for (const name of [known, 'nobody-of-this-name']) {
      const spelled = [name, `@${name}:localhost`, name.toUpperCase(), `@${name}:localhost`];
      const answers = [];
      for (const user of spelled) answers.push((await login(user, 'wrong')).status);
      statuses.push(answers);
    }
    expect(statuses).toEqual([
      [403, 403, 403, 429],
      [403, 403, 403, 429],
    ]);
  });

  it('apply to many concurrent guesses', async () => {
    const { body } = await register().expect(200);
    const guesses = await Promise.all(Array.from({ length: 30 }, () => login(body.user_id, 'wrong')));
    expect(guesses.filter(({ status }) => status === 403)).toHaveLength(3);
    expect(guesses.filter(({ status }) => status === 429)).toHaveLength(27);
  });

  it('count guessed login tokens, and count an IPv6 network as one address', async () => {
    for (let host = 1; host <= 5; host += 1) {
      await post('login', `2001:db8:0:1::${host}`, { type: 'm.login.token', token: 'guess' }).expect(403);
    }
    expectLimited(await post('login', '2001:db8:0:1:ffff::1', { type: 'm.login.token', token: 'guess' }));
    await post('login', '2001:db8:0:2::1', { type: 'm.login.token', token: 'guess' }).expect(403);
  });

  it('count challenges, because the service stores them', async () => {
    const from = address();
    for (let tries = 0; tries < 8; tries += 1) await post('register', from, {}).expect(401);
    expectLimited(await post('register', from, {}));
    expectLimited(await post('account/deactivate', from, {}));
    expectLimited(await post('account/password', from, { new_password: 'some other phrase' }));
  });

  it('do not count successful logins', async () => {
    const from = address();
    const { body } = await register().expect(200);
    for (let tries = 0; tries < 8; tries += 1) await login(body.user_id, PASSWORD, from).expect(200);
  });

  it('do not count successful logins at the same time: those that are too many may soon come again', async () => {
    const from = address();
    const { body } = await register().expect(200);
    const answers = await Promise.all(Array.from({ length: 20 }, () => login(body.user_id, PASSWORD, from)));
    const statuses = new Set(answers.map(({ status }) => status));
    expect([...statuses].toSorted()).toEqual([200, 429]);
    for (const { status, body: answer } of answers)
      if (status === 429) expect(answer.retry_after_ms).toBeLessThanOrEqual(2_000);
    await login(body.user_id, PASSWORD, from).expect(200);
  });

  it('do not count logins that fail for a reason of the service', async () => {
    const { body } = await register().expect(200);
    const failing = app().fail(PasswordHasher, 'matches');
    try {
      for (let tries = 0; tries < 6; tries += 1) await login(body.user_id, PASSWORD).expect(500);
    } finally {
      failing.restore();
    }
    await login(body.user_id, PASSWORD).expect(200);
  });

  it('count wrong passwords in interactive authentication', async () => {
    const { body } = await register().expect(200);
    const guess = () =>
      post('account/password', address(), {
        new_password: 'some other phrase',
        auth: { type: 'm.login.password', password: 'wrong' },
      }).auth(body.access_token, { type: 'bearer' });
    for (let tries = 0; tries < 3; tries += 1) await guess().expect(401);
    expectLimited(await guess());
  });

  it('count registrations, refreshes, and checks of names and registration tokens by address', async () => {
    const from = address();
    const { body } = await register(from).expect(200);
    await register(from).expect(200);
    expectLimited(await register(from));
    for (let tries = 0; tries < 2; tries += 1)
      await post('refresh', from, { refresh_token: 'x' }).expect(401);
    expectLimited(await post('refresh', from, { refresh_token: body.refresh_token }));
    const get = (path: string) => app().http.get(path).set('X-Forwarded-For', from);
    for (let tries = 0; tries < 2; tries += 1)
      await get(`${V3}/register/available?username=free${tries}`).expect(200);
    expectLimited(await get(`${V3}/register/available?username=free`));
    const validity = '/_matrix/client/v1/register/m.login.registration_token/validity?token=x';
    for (let tries = 0; tries < 2; tries += 1) await get(validity).expect(200);
    expectLimited(await get(validity));
  });

  it('count the login tokens that a user requests', async () => {
    const { body } = await register().expect(200);
    const getToken = () =>
      app()
        .http.post('/_matrix/client/v1/login/get_token')
        .auth(body.access_token, { type: 'bearer' })
        .send({ auth: { type: 'm.login.password', password: PASSWORD } });
    await getToken().expect(200);
    expectLimited(await getToken());
  });

  it('never apply to the two logouts', async () => {
    const from = address();
    const { body } = await register(from).expect(200);
    for (let tries = 0; tries < 30; tries += 1)
      await post('logout', from, {}).auth('x', { type: 'bearer' }).expect(401);
    await post('logout/all', from, {}).auth(body.access_token, { type: 'bearer' }).expect(200);
  });

  it('refuse a limited address without counting for the account, so that nobody can lock out other users', async () => {
    const victims = await Promise.all(Array.from({ length: 4 }, () => register().expect(200)));
    const from = address();
    for (let tries = 0; tries < 5; tries += 1) await login(`nobody${tries}-x`, 'wrong', from).expect(403);
    const rows = async () => (await app().sql('SELECT FROM rate_limits')).length;
    const before = await rows();
    for (const { body } of victims)
      for (let tries = 0; tries < 4; tries += 1) expectLimited(await login(body.user_id, 'wrong', from));
    for (let tries = 0; tries < 20; tries += 1)
      expectLimited(await login(`somebody${tries}-x`, 'wrong', from));
    // No account was counted.
    expect(await rows()).toBe(before);
    for (const { body } of victims) await login(body.user_id, PASSWORD).expect(200);
  });

  it('do not count for the address when they refuse the account', async () => {
    const { body } = await register().expect(200);
    for (let tries = 0; tries < 3; tries += 1) await login(body.user_id, 'wrong').expect(403);
    const from = address();
    for (let tries = 0; tries < 12; tries += 1) expectLimited(await login(body.user_id, 'wrong', from));
    const other = await register().expect(200);
    await login(other.body.user_id, PASSWORD, from).expect(200);
  });

  it('count by account, whatever identifier the login uses', async () => {
    const { body } = await register().expect(200);
    const byMail = (password: string) =>
      post('login', address(), {
        type: 'm.login.password',
        identifier: { type: 'm.id.thirdparty', medium: 'email', address: 'alias@example.org' },
        password,
      });
    aliases.set('alias@example.org', body.user_id);
    for (let tries = 0; tries < 3; tries += 1) await login(body.user_id, 'wrong').expect(403);
    expectLimited(await byMail('wrong'));
    expectLimited(await byMail(PASSWORD));
  });

  it('recognise an address in every spelling, with or without a port', async () => {
    const spellings = [
      '2001:db8:7::1',
      '2001:DB8:7:0:0::2',
      '[2001:db8:7::3]:443',
      '2001:0db8:0007::4%eth0',
      '2001:db8:7::5',
    ];
    for (const [at, from] of spellings.entries()) await login(`nobody-v6-${at}`, 'wrong', from).expect(403);
    expectLimited(await login('nobody-else-v6', 'wrong', '2001:db8:7:0:ffff::9'));
    const four = [
      '::ffff:198.51.100.7',
      '198.51.100.7:1',
      '198.51.100.7:2',
      '::FFFF:c633:6407',
      ' 198.51.100.7',
    ];
    for (const [at, from] of four.entries()) await login(`nobody-v4-${at}`, 'wrong', from).expect(403);
    expectLimited(await login('nobody-v4', 'wrong', '198.51.100.7'));
  });

  it('count device deletions, new cross-signing keys and login tokens as challenges', async () => {
    const { body } = await register().expect(200);
    const from = address();
    const ask = (path: string, request: object) =>
      post(path, from, request).auth(body.access_token, { type: 'bearer' });
    for (let tries = 0; tries < 8; tries += 1) await ask('delete_devices', { devices: [] }).expect(401);
    expectLimited(await ask('delete_devices', { devices: [] }));
    const getToken = app()
      .http.post('/_matrix/client/v1/login/get_token')
      .set('X-Forwarded-For', from)
      .auth(body.access_token, { type: 'bearer' })
      .send({});
    expectLimited(await getToken);
  });

  it('limit how often a user uploads, queries and claims keys', async () => {
    const [one, other] = [await register().expect(200), await register().expect(200)];
    const ask = (path: string, { body }: { body: { access_token: string } }, request: object) =>
      post(path, address(), request).auth(body.access_token, { type: 'bearer' });
    for (const [path, request] of [
      ['keys/upload', {}],
      ['keys/query', { device_keys: {} }],
      ['keys/claim', { one_time_keys: {} }],
    ] as const) {
      for (let tries = 0; tries < 3; tries += 1) await ask(path, one, request).expect(200);
      expectLimited(await ask(path, one, request));
      await ask(path, other, request).expect(200);
    }
  });

  it('leave connections for look-ups even while their own table is locked', async () => {
    const { body } = await register().expect(200);
    const bystander = await Bystander.begin(app());
    await bystander.run('LOCK TABLE rate_limits IN ACCESS EXCLUSIVE MODE');
    const refreshes = Array.from({ length: 30 }, () =>
      post('refresh', address(), { refresh_token: 'x' }).then(({ status }) => status),
    );
    try {
      await lockWaiters(app(), 8);
      const whoami = () => app().http.get(`${V3}/account/whoami`).auth(body.access_token, { type: 'bearer' });
      for (let nth = 0; nth < 5; nth += 1) await whoami().expect(200);
    } finally {
      await bystander.commit();
    }
    expect(new Set(await Promise.all(refreshes))).toEqual(new Set([401]));
  });

  it('are shared by all nodes', async () => {
    const from = address();
    await register(from).expect(200);
    await register(from).expect(200);
    const variables = { RATE_LIMITS: 'on', TRUST_PROXY: '1', RATE_LIMIT_REGISTRATION: '2/1h' };
    const second = await TestApp.start({ variables, database: app().database });
    try {
      const body = { username: uniqueUsername(), password: PASSWORD, auth: { type: 'm.login.dummy' } };
      expectLimited(await second.http.post(`${V3}/register`).set('X-Forwarded-For', from).send(body));
    } finally {
      await second.stop();
    }
  });
});

describe('The address of a client', () => {
  it('is the address of the peer if X-Forwarded-For is not a valid address', async () => {
    const { body } = await register('10.99.0.1').expect(200);
    for (const said of ['<script>alert(1)</script>', 'x'.repeat(3_025), 'unknown', '10.99.0.1, nonsense']) {
      await app()
        .http.get(`${V3}/account/whoami`)
        .set('X-Forwarded-For', said)
        .auth(body.access_token, { type: 'bearer' })
        .expect(200);
      const devices = await app()
        .http.get(`${V3}/devices`)
        .set('X-Forwarded-For', said)
        .auth(body.access_token, { type: 'bearer' });
      expect(devices.body.devices).toMatchObject([{ last_seen_ip: '127.0.0.1' }]);
    }
    const devices = await app()
      .http.get(`${V3}/devices`)
      .set('X-Forwarded-For', '[2001:DB8::0:5]:51234')
      .auth(body.access_token, { type: 'bearer' });
    expect(devices.body.devices).toMatchObject([{ last_seen_ip: '2001:db8::5' }]);
    await post('login', '<b>', { type: 'm.login.password', user: 'x', password: 'y' }).expect(403);
    const audited = await app().sql<{ address: string }>('SELECT DISTINCT address FROM audit_entries');
    for (const { address: written } of audited) expect(written).toMatch(/^[0-9a-f.:]+$/);
  });

  it('is taken from X-Forwarded-For only if the proxy is trusted', async () => {
    const direct = await TestApp.start({ variables: { RATE_LIMITS: 'on', RATE_LIMIT_REGISTRATION: '1/1h' } });
    try {
      const attempt = () =>
        direct.http
          .post(`${V3}/register`)
          .set('X-Forwarded-For', address())
          .send({ username: uniqueUsername(), password: PASSWORD, auth: { type: 'm.login.dummy' } });
      await attempt().expect(200);
      expectLimited(await attempt());
    } finally {
      await direct.stop();
    }
  });
});
