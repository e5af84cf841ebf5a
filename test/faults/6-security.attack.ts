import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, it } from 'vitest';
import {
  type ClientSession,
  PASSWORD,
  someKeys,
  uniqueUsername,
  V3,
} from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { conclude } from './support/attack.js';
import { trials } from './support/form.js';
import { faultIn, sendRaw } from './support/raw.js';
import { Stage } from './support/stage.js';
import { Wire } from './support/wire.js';

/** What finds its way into statements, headers, logs, prototypes and pages, where nobody looks after it. */
const NASTY = [
  `'; DROP TABLE devices; --`,
  `' OR '1'='1`,
  `$1`,
  `x\r\nX-Injected: yes`,
  `x\n[12:00:00.000] INFO: [Request] forged`,
  `x\u001b[2J`,
  '__proto__',
  'constructor',
  'a'.repeat(10_000),
  '@'.repeat(10_000),
  `@alice:${'b'.repeat(10_000)}`,
  '@alice:elsewhere.example.org',
  '@alice:localhost\0',
  '../../../etc/passwd',
  '%2e%2e%2f',
  '{{7*7}}',
  '<script>alert(1)</script>',
  '\ud800',
  '\u202e',
];

const quick = { PASSWORD_MIN_LENGTH: '1' };

describe('Security:', () => {
  let stage: Stage;
  let wire: Wire;
  let session: ClientSession;
  beforeAll(async () => {
    const file = join(await temporaryDirectory(), 'bridge.yaml');
    const users = [{ exclusive: true, regex: '@bridge_.*:localhost' }];
    const registration = {
      id: 'bridge',
      url: null,
      as_token: 'the-as-token-of-the-bridge',
      hs_token: 'the-hs-token-of-the-bridge',
      sender_localpart: 'bridge',
      namespaces: { users, aliases: [], rooms: [] },
      rate_limited: false,
    };
    await writeFile(file, JSON.stringify(registration));
    stage = await Stage.set(1, { APPSERVICE_FILES: file, ...quick });
    wire = new Wire(stage.anyNode, []);
    session = await stage.nodes[0]!.matrix.register({ username: uniqueUsername() });
  });
  afterAll(async () => {
    await wire?.close();
    await stage?.clear();
  });

  const login = (user: string, password: string) => ({
    body: { type: 'm.login.password', identifier: { type: 'm.id.user', user }, password },
  });

  it('the time of a login does not tell whether the user exists', async (context) => {
    const count = trials(1_000, 150);
    const [unknown, wrong]: [number[], number[]] = [[], []];
    const violations: string[] = [];
    const ask = async (times: number[], user: string) => {
      const began = performance.now();
      const answer = await wire.send('POST', '/login', login(user, 'wrong'));
      times.push(performance.now() - began);
      return JSON.stringify(answer);
    };
    for (let nth = 0; nth < count; nth += 1) {
      // In turn, so that whatever else the machine does meets both.
      const first = await ask(unknown, `nobody${nth}`);
      const second = await ask(wrong, session.userId);
      if (first !== second) violations.push(`${first} and ${second}`);
    }
    // How often an unknown user takes longer than a known one: a half, if nothing tells them apart.
    const chance = chanceOfLonger(unknown, wrong);
    if (Math.abs(chance - 0.5) > 0.15)
      violations.push(`an unknown user takes longer in ${chance} of all pairs`);
    const note = `an unknown user takes longer in ${(chance * 100).toFixed(0)}% of all pairs (50% tell nothing)`;
    conclude(context, { trials: count, of: 'pairs', violations, worstMs: wire.worstMs, note });
  });

  it('nasty values everywhere stay values', async (context) => {
    const violations: string[] = [];
    const keys = someKeys(session, 1);
    let sent = 0;
    const ask = async (method: 'GET' | 'POST', path: string, body?: object) => {
      sent += 1;
      await wire.send(method, path, { token: session.accessToken, ...(body === undefined ? {} : { body }) });
    };
    for (const nasty of NASTY) {
      const named = JSON.parse(`{${JSON.stringify(nasty)}: ["D"]}`) as object;
      await ask('POST', '/login', login(nasty, nasty).body);
      await ask('POST', '/login', { ...login(session.userId, PASSWORD).body, device_id: nasty });
      await ask('POST', '/login', {
        ...login(session.userId, PASSWORD).body,
        initial_device_display_name: nasty,
      });
      await ask('POST', '/login', { type: nasty, [nasty]: nasty });
      await ask('POST', '/register', {
        username: nasty,
        password: nasty,
        auth: { type: nasty, session: nasty },
      });
      await ask('POST', '/refresh', { refresh_token: nasty });
      await ask('POST', '/keys/query', { device_keys: named });
      await ask('POST', '/keys/claim', { one_time_keys: { [nasty]: { [nasty]: nasty } } });
      await ask('POST', '/keys/upload', {
        one_time_keys: named,
        device_keys: { ...keys['device_keys'], user_id: nasty },
      });
      await ask('POST', '/keys/signatures/upload', { [nasty]: { [nasty]: { [nasty]: nasty } } });
      const encoded = nasty.isWellFormed() ? encodeURIComponent(nasty) : '%ED%A0%80';
      await ask('GET', `/devices/${encoded}`);
      await ask('GET', `/register/available?username=${encoded}`);
      await ask('GET', `/keys/changes?from=${encoded}&to=${encoded}`);
      for (const line of [
        `Authorization: Bearer ${nasty}`,
        `X-Request-Id: ${nasty}`,
        `User-Agent: ${nasty}`,
      ]) {
        const head = `GET ${V3}/account/whoami HTTP/1.1\r\nHost: localhost\r\n${line}\r\n\r\n`;
        const reply = await sendRaw(stage.ports[0]!, head, 10_000);
        sent += 1;
        const fault = faultIn(reply);
        if (fault !== null) violations.push(`${line}: ${fault}`);
        if (/^x-injected/im.test(reply.text)) violations.push(`${line}: a header was injected`);
      }
    }
    const [first] = stage.allWords();
    if (/^\S* ?INFO: \[Request\] forged/m.test(first!)) violations.push('a line of the log was forged');
    if (first!.includes('\u001b[2J')) violations.push('the log has control characters of the sender');
    const [{ count } = { count: 0 }] = await stage.postgres.execute<{ count: number }>(
      'SELECT count(*)::int AS count FROM devices',
    );
    if (count === 0) violations.push('the devices are gone');
    const me = await wire.send('GET', '/account/whoami', { token: session.accessToken });
    if (me?.status !== 200) violations.push('the session is gone');
    conclude(context, {
      trials: sent,
      of: 'requests',
      violations: [...violations, ...wire.violations.splice(0)],
    });
  });

  it('an application service acts for nobody outside of its namespace', async (context) => {
    const violations: string[] = [];
    const token = 'the-as-token-of-the-bridge';
    const others = [
      session.userId,
      '@bridge:localhost.evil',
      '@alice:elsewhere.example.org',
      ...NASTY.slice(0, 3),
    ];
    for (const user of others) {
      const type = 'm.login.application_service';
      const identifier = { type: 'm.id.user', user };
      const answers = [
        await wire.send('POST', '/login', { token, body: { type, identifier } }),
        await wire.send('GET', `/devices?user_id=${encodeURIComponent(user)}`, { token }),
        await wire.send('POST', `/logout/all?user_id=${encodeURIComponent(user)}`, { token }),
      ];
      for (const answer of answers)
        if (answer === null || answer.status < 400) violations.push(`${user} got ${answer?.status}`);
    }
    const me = await wire.send('GET', '/account/whoami', { token: session.accessToken });
    if (me?.status !== 200) violations.push('a session of somebody else was ended');
    conclude(context, {
      trials: others.length * 3,
      of: 'requests',
      violations: [...violations, ...wire.violations],
    });
  });

  it('guessing a password is stopped, and locks out nobody at another address', async (context) => {
    const guarded = await Stage.set(1, { RATE_LIMITS: 'on', TRUST_PROXY: 'loopback', ...quick });
    try {
      const { http, matrix } = guarded.nodes[0]!;
      const { userId } = await matrix.register({ username: uniqueUsername() });
      const guess = (from: string, user: string, password: string) =>
        http.post(`${V3}/login`).set('X-Forwarded-For', from).send(login(user, password).body);
      const statuses: number[] = [];
      for (let nth = 0; nth < 100; nth += 1)
        statuses.push((await guess('192.0.2.1', `user${nth}`, 'x')).status);
      const violations: string[] = [];
      const checked = statuses.filter((status) => status === 403).length;
      if (checked > 50) violations.push(`${checked} guesses from one address were checked`);
      if (statuses.at(-1) !== 429) violations.push(`the last guess got ${statuses.at(-1)}`);
      const right = await guess('198.51.100.7', userId, PASSWORD);
      if (right.status !== 200) violations.push(`somebody else got ${right.status}`);
      conclude(context, {
        trials: statuses.length,
        of: 'guesses',
        violations,
        note: `${checked} were checked`,
      });
    } finally {
      await guarded.clear();
    }
  });

  it('a webhook target cannot send the service somewhere else', async (context) => {
    let wasReached = 0;
    let asked = 0;
    const inside = createServer((_, response) => {
      wasReached += 1;
      response.end();
    }).listen(0, '127.0.0.1');
    await once(inside, 'listening');
    const secret = `http://127.0.0.1:${(inside.address() as AddressInfo).port}/latest/meta-data`;
    const target = createServer((_, response) => {
      asked += 1;
      response.writeHead([301, 302, 303, 307, 308][asked % 5]!, { Location: secret }).end();
    }).listen(0, '127.0.0.1');
    await once(target, 'listening');
    const file = join(await temporaryDirectory(), 'webhooks.json');
    const url = `http://127.0.0.1:${(target.address() as AddressInfo).port}/`;
    await writeFile(file, JSON.stringify({ webhooks: [{ name: 'evil', url, events: ['*'] }] }));
    const webhooked = await Stage.set(1, { WEBHOOKS_FILE: file, EVENT_POLL_INTERVAL: '200ms' });
    try {
      for (let nth = 0; nth < 10; nth += 1) await webhooked.nodes[0]!.matrix.register();
      while (asked < 5) await sleep(50);
      const violations = wasReached === 0 ? [] : [`the service followed ${wasReached} redirects`];
      conclude(context, { trials: asked, of: 'redirects', violations });
    } finally {
      await webhooked.clear();
      for (const server of [inside, target]) {
        server.closeAllConnections();
        server.close();
      }
    }
  });
});

/** The share of all pairs in which the first is larger (the statistic of Mann and Whitney). */
function chanceOfLonger(some: readonly number[], others: readonly number[]): number {
  const wins = some.reduce((sum, one) => sum + others.filter((other) => one > other).length, 0);
  return wins / (some.length * others.length);
}
