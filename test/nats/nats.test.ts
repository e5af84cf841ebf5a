import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { createDatabase } from '../support/database.js';
import { TestApp } from '../support/test-app.js';

// Runs only if NATS_SERVER names the program, as in CI.
let port: number;
let server: ChildProcess | undefined;
let listener: NatsConnection | undefined;
let app: TestApp;
let heard: { subject: string; id: string; pattern: string; data: Record<string, unknown> }[] = [];

/** Starts a server on which `u` may do everything and `mute` may not publish. */
async function up(): Promise<void> {
  const directory = await temporaryDirectory();
  const file = join(directory, 'nats.conf');
  await writeFile(
    file,
    `jetstream { store_dir: ${JSON.stringify(directory)} }
     authorization { users: [
       { user: u, password: "p@ss" }
       { user: mute, password: mute, permissions: { publish: { deny: "matrix.>" } } }
     ] }`,
  );
  server = spawn(process.env['NATS_SERVER']!, ['-a', '127.0.0.1', '-p', String(port), '-c', file], {
    stdio: 'ignore',
  });
  listener = await vi.waitFor(
    () => connect({ servers: `127.0.0.1:${port}`, user: 'u', pass: 'p@ss', reconnect: false }),
    10_000,
  );
  const subscription = listener.subscribe('matrix.session.>');
  await listener.flush();
  void (async () => {
    for await (const message of subscription) {
      const { pattern, data } = message.json<{ pattern: string; data: Record<string, unknown> }>();
      heard.push({ subject: message.subject, id: message.headers?.get('Nats-Msg-Id') ?? '', pattern, data });
    }
  })();
}

async function down(): Promise<void> {
  await listener?.close();
  server!.kill('SIGKILL');
  await once(server!, 'exit');
}

beforeAll(async () => {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  ({ port } = free.address() as AddressInfo);
  await new Promise((resolve) => free.close(resolve));
  app = await TestApp.start({
    variables: { NATS_URL: `nats://u:p%40ss@127.0.0.1:${port}`, EVENT_DELIVERY_TIMEOUT: '2s' },
  });
});
afterAll(async () => {
  await app.stop();
  await down();
});

/** Returns the error of the latest attempted delivery. */
async function errorOf(node: TestApp): Promise<string> {
  const [delivery] = await node.sql<{ last_error: string }>(
    `SELECT last_error FROM event_deliveries WHERE state = 'pending' AND attempts > 0 ORDER BY position DESC, ordinal LIMIT 1`,
  );
  return delivery!.last_error;
}

const deleted = () => heard.filter(({ subject }) => subject === 'matrix.session.devices.deleted');

describe('NATS', () => {
  it('receives the events of an outage afterwards, in order for each user', async () => {
    const { userId } = await app.matrix.register({ device_id: 'D0' });
    for (let n = 1; n <= 3; n += 1) {
      const session = await app.matrix.login(userId, { device_id: `D${n}` });
      await app.matrix.logout(session).expect(200);
    }
    await app.drain();
    await up();
    await vi.waitFor(async () => {
      app.clock.advance(10_000);
      await app.drain();
      expect(deleted()).toHaveLength(3);
    }, 20_000);
    expect(heard.filter(({ data }) => (data['data'] as { user_id: string }).user_id === userId)).toHaveLength(
      heard.length,
    );
    const order = deleted().map(
      ({ data }) => (data['data'] as { devices: { device_id: string }[] }).devices[0]!.device_id,
    );
    expect(order).toEqual(['D1', 'D2', 'D3']);
  });

  it('receives an event at once, in the format of Nest, with an ID that identifies repeated deliveries', async () => {
    const session = await app.matrix.register();
    await app.drain();
    heard = [];
    await app.matrix.logout(session).expect(200);
    await vi.waitFor(() => expect(deleted()).toHaveLength(1));
    expect(deleted()).toMatchObject([
      {
        subject: 'matrix.session.devices.deleted',
        pattern: 'matrix.session.devices.deleted',
        id: expect.stringMatching(/^evt_/),
        data: { id: deleted()[0]!.id, type: 'devices.deleted', data: { user_id: session.userId } },
      },
    ]);
  });

  it('receives nothing in plain text if TLS is configured', async () => {
    heard = [];
    const database = await createDatabase();
    const secret = await TestApp.start({
      database,
      variables: { NATS_URL: `tls://u:p%40ss@127.0.0.1:${port}`, EVENT_DELIVERY_TIMEOUT: '1s' },
    });
    await secret.matrix.register();
    await secret.drain();
    expect(heard).toEqual([]);
    expect(await errorOf(secret)).toMatch(/TLS|secure|No answer/i);
    await secret.stop();
    await database.drop();
  });

  it('has not received an event that it refuses to publish', async () => {
    const node = await TestApp.start({ variables: { NATS_URL: `nats://mute:mute@127.0.0.1:${port}` } });
    await node.matrix.register();
    await node.drain();
    expect(await errorOf(node)).toMatch(/refuses to publish matrix\.session\./);
    await node.stop();
  });

  it('has received an event with JetStream once a stream has stored it', async () => {
    const node = await TestApp.start({
      variables: {
        NATS_URL: `nats://u:p%40ss@127.0.0.1:${port}`,
        NATS_JETSTREAM: 'on',
        NATS_SUBJECT_PREFIX: 'kept',
      },
    });
    const { userId } = await node.matrix.register();
    await node.drain();
    expect(await errorOf(node)).toMatch(/NoResponders|no responders/i);
    const manage = async (what: string, ask: object) =>
      (await listener!.request(`$JS.API.${what}`, JSON.stringify(ask))).json<Record<string, unknown>>();
    await manage('STREAM.CREATE.KEPT', { name: 'KEPT', subjects: ['kept.>'], storage: 'memory' });
    await vi.waitFor(async () => {
      node.clock.advance(10_000);
      await node.drain();
      const left = await node.sql(`SELECT FROM event_deliveries WHERE state <> 'delivered'`);
      expect(left).toEqual([]);
    }, 10_000);
    const delivered = await node.sql(`SELECT FROM event_deliveries WHERE user_id = $1`, [userId]);
    expect(await manage('STREAM.INFO.KEPT', {})).toMatchObject({ state: { messages: delivered.length } });
    await manage('STREAM.PURGE.KEPT', {});
    await manage('STREAM.UPDATE.KEPT', {
      name: 'KEPT',
      subjects: ['kept.>'],
      storage: 'memory',
      max_msgs: 1,
      discard: 'new',
    });
    await node.matrix.register();
    await node.drain();
    expect(await errorOf(node)).toMatch(/No stream has stored it: maximum messages exceeded/);
    await node.stop();
  });

  it('loses no event when it goes down and comes back', async () => {
    await down();
    heard = [];
    const session = await app.matrix.register();
    await app.matrix.logout(session).expect(200);
    await app.drain();
    expect(heard).toEqual([]);
    await up();
    await vi.waitFor(async () => {
      app.clock.advance(10_000);
      await app.drain();
      expect(deleted()).toHaveLength(1);
    }, 20_000);
  });
});
