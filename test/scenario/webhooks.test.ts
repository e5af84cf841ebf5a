import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Webhook as Verifier } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createApplication, Environment } from '../../src/index.js';
import { passwordOf } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { TestApp } from '../support/test-app.js';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let received: Received[] = [];
/** Statuses of the next answers; 200 if the list is empty. With 0, there is no answer at all. */
let statuses: number[] = [];
let target: Server;
let app: TestApp;
let url: string;

beforeAll(async () => {
  target = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      received.push({ path: request.url!, headers: request.headers, body });
      const status = statuses.shift() ?? 200;
      if (status === 0) return;
      response.writeHead(status, status === 302 ? { Location: `${url}/elsewhere` } : {}).end();
    });
  });
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(target.address() as AddressInfo).port}`;
  const file = await fileOf([{ name: 'homeserver', url: `${url}/hook`, events: ['*'] }]);
  app = await TestApp.start({
    variables: {
      WEBHOOKS_FILE: file,
      WEBHOOK_SECRET: SECRET,
      WEBHOOK_SCHEMES: 'https,http',
      SERVER_ADMINS: '@admin:localhost',
      EVENT_POLL_INTERVAL: '1h',
      EVENT_DELIVERY_TIMEOUT: '300ms',
    },
  });
});
afterAll(async () => {
  await app.stop();
  target.closeAllConnections();
  await new Promise((resolve) => target.close(resolve));
});
beforeEach(() => {
  received = [];
  statuses = [];
});

async function fileOf(webhooks: object[]): Promise<string> {
  const file = join(await temporaryDirectory(), 'webhooks.yaml');
  await writeFile(file, JSON.stringify({ webhooks }));
  return file;
}

const drain = () => app.drain();
const bodies = () =>
  received.map(({ body }) => JSON.parse(body) as { type: string; data: Record<string, unknown> });

/** Returns the events that are posted for one piece of work, by type. */
async function postedBy(work: () => Promise<unknown>): Promise<Map<string, object>> {
  await drain();
  received = [];
  await work();
  await drain();
  return new Map(bodies().map((body) => [body.type, body]));
}

describe('A webhook', () => {
  it('is signed according to Standard Webhooks', async () => {
    const session = await app.matrix.register();
    await postedBy(() => app.matrix.logout(session).expect(200));
    expect(received.length).toBeGreaterThan(0);
    for (const { headers, body } of received) {
      expect(new Verifier(SECRET).verify(body, headers as Record<string, string>)).toEqual(JSON.parse(body));
      expect(() => new Verifier(SECRET).verify(`${body} `, headers as Record<string, string>)).toThrow();
    }
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(received.length);
  });

  it('is signed with the secrets of its own file, and receives an event once that is listed twice', async () => {
    const [own, next] = [9, 10].map((byte) => `whsec_${Buffer.alloc(24, byte).toString('base64')}`) as [
      string,
      string,
    ];
    const secretFile = join(await temporaryDirectory(), 'secret');
    await writeFile(secretFile, `${own}\n${next}\n`);
    const node = await TestApp.start({
      variables: {
        WEBHOOKS_FILE: await fileOf([
          {
            name: 'own',
            url: `${url}/own`,
            events: ['devices.deleted', 'devices.deleted'],
            secret_file: secretFile,
          },
        ]),
        WEBHOOK_SECRET: SECRET,
        WEBHOOK_SCHEMES: 'http',
      },
    });
    await node.matrix.logout(await node.matrix.register()).expect(200);
    await node.drain();
    await node.stop();
    expect(received).toHaveLength(1);
    const [{ headers, body }] = received as [Received];
    // Both secrets are used during a rotation.
    for (const secret of [own, next])
      expect(new Verifier(secret).verify(body, headers as Record<string, string>)).toEqual(JSON.parse(body));
    expect(() => new Verifier(SECRET).verify(body, headers as Record<string, string>)).toThrow();
  });

  it.each([
    ['answers 500', 500],
    ['redirects', 302],
    ['does not answer', 0],
  ])('whose target %s gets the same event again, but other targets do not', async (_, status) => {
    const session = await app.matrix.register();
    await drain();
    received = [];
    statuses = [status];
    await app.matrix.logout(session).expect(200);
    await drain();
    app.clock.advance(60_000);
    await drain();
    const [first, second] = received as [Received, Received];
    expect(second.headers['webhook-id']).toBe(first.headers['webhook-id']);
    expect(second.body).toBe(first.body);
    expect(received.every(({ path }) => path === '/hook')).toBe(true);
  });

  it('whose target is down for hours gets all events, in order', async () => {
    const session = await app.matrix.register();
    await drain();
    received = [];
    statuses = Array.from({ length: 200 }, () => 503);
    const again = await app.matrix.login(session.userId, { device_id: session.deviceId });
    await app.matrix.logout(again).expect(200);
    for (let hour = 0; hour < 5; hour += 1) {
      await drain();
      app.clock.advance(60 * 60 * 1_000);
    }
    statuses = [];
    received = [];
    for (let hour = 0; hour < 3; hour += 1) {
      await drain();
      app.clock.advance(2 * 60 * 60 * 1_000);
    }
    expect(bodies().map(({ type }) => type)).toEqual([
      'sessions.ended',
      'session.started',
      'devices.deleted',
      'device_lists.changed',
    ]);
  });

  it.each([
    ['a scheme that is not allowed', [{ name: 'x', url: 'ftp://x/', events: ['*'] }], /scheme/],
    ['an event that is not there', [{ name: 'x', url: 'https://x/', events: ['no'] }], /no event no/],
    [
      'a password in the URL',
      [{ name: 'x', url: 'https://u:secret@x/', events: ['*'] }],
      /x: the URL may hold no user(?!.*secret)/,
    ],
    ['no secret', [{ name: 'x', url: 'https://x/', events: ['*'] }], /x: needs a secret/, ''],
    [
      'a secret that is none',
      [{ name: 'x', url: 'https://x/', events: ['*'] }],
      /x: WEBHOOK_SECRET must hold/,
      'x',
    ],
    [
      'a secret file that is not there',
      [{ name: 'x', url: 'https://x/', events: ['*'], secret_file: '/no/such/file' }],
      /x: secret_file cannot be read: ENOENT/,
    ],
    ['no URL', [{ name: 'x', url: 'x', events: ['*'] }], /x: url must be a URL/],
    ['no list of events', [{ name: 'x', url: 'https://x/', events: '*' }], /x: events must be/],
    ['no name', [{ url: 'https://x/', events: ['*'] }], /a target without a name: name must be/],
    [
      'a name that is taken',
      [1, 2].map(() => ({ name: 'x', url: 'https://x/', events: ['*'] })),
      /the same name/,
    ],
  ])('is refused at start with %s', async (_, webhooks, message, secret = SECRET) => {
    const environment = Environment.load({ WEBHOOKS_FILE: await fileOf(webhooks), WEBHOOK_SECRET: secret });
    await expect(
      createApplication({ environment, database: { url: 'postgres://localhost/none' } }),
    ).rejects.toThrow(message);
  });
});

describe('The JSON of events', () => {
  const time = expect.any(Number);
  const frame = (type: string, data: object) => ({ type, timestamp: expect.stringMatching(/Z$/), data });

  it('does not change', async () => {
    const session = await app.matrix.register();
    const { userId: user_id, deviceId: device_id } = session;
    const registered = await postedBy(() => app.createUser('admin'));
    expect(registered.get('account.registered')).toEqual(
      frame('account.registered', { user_id: '@admin:localhost', kind: 'user', registered_ts: time }),
    );
    const admin = await app.matrix.login('admin');
    const restricted = await postedBy(() =>
      app.http
        .put(`/_matrix/client/v1/admin/suspend/${user_id}`)
        .auth(admin.accessToken, { type: 'bearer' })
        .send({ suspended: true })
        .expect(200),
    );
    expect(restricted.get('account.restricted')).toEqual(
      frame('account.restricted', { user_id, restriction: 'suspended', on: true, restricted_ts: time }),
    );
    const login = await postedBy(() => app.matrix.login(user_id, { device_id: 'PHONE' }));
    expect(login.get('session.started')).toEqual(
      frame('session.started', {
        user_id,
        device_id: 'PHONE',
        initial_device_display_name: null,
        started_ts: time,
        client_id: null,
      }),
    );
    expect(login.get('device.created')).toEqual(
      frame('device.created', { user_id, device_id: 'PHONE', display_name: null, created_ts: time }),
    );
    const renamed = await postedBy(() =>
      app.matrix.call(session, 'put', '/devices/PHONE').send({ display_name: 'Phone' }).expect(200),
    );
    expect(renamed.get('device.renamed')).toEqual(
      frame('device.renamed', { user_id, device_id: 'PHONE', display_name: 'Phone', renamed_ts: time }),
    );
    const replaced = await postedBy(() => app.matrix.login(user_id, { device_id: 'PHONE' }));
    expect(replaced.get('sessions.ended')).toEqual(
      frame('sessions.ended', {
        user_id,
        sessions: [{ user_id, device_id: 'PHONE' }],
        reason: 'replaced_by_login',
        ended_ts: time,
      }),
    );
    const changed = await postedBy(() =>
      app.matrix
        .call(session, 'post', '/account/password')
        .send({ new_password: 'quite another battery staple', auth: passwordOf(session) })
        .expect(200),
    );
    expect(changed.get('password.changed')).toEqual(
      frame('password.changed', {
        user_id,
        logout_devices: true,
        kept_device_id: device_id,
        changed_ts: time,
      }),
    );
    expect(changed.get('devices.deleted')).toEqual(
      frame('devices.deleted', {
        user_id,
        devices: [{ user_id, device_id: 'PHONE', created_ts: time }],
        reason: 'password_changed',
        deleted_ts: time,
      }),
    );
    expect(changed.get('device_lists.changed')).toEqual(
      frame('device_lists.changed', {
        user_id,
        changes: [
          {
            user_id,
            position: time,
            previous_position: time,
            change: 'device_deleted',
            device_id: 'PHONE',
            signed_user_id: null,
          },
        ],
        changed_ts: time,
      }),
    );
    const deactivated = await postedBy(() =>
      app.matrix
        .call(session, 'post', '/account/deactivate')
        .send({ auth: passwordOf(session, 'quite another battery staple') })
        .expect(200),
    );
    expect(deactivated.get('account.deactivated')).toEqual(
      frame('account.deactivated', { user_id, erase: false, deactivated_ts: time }),
    );
  });
});
