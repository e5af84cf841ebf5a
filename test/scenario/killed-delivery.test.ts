import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import request from 'supertest';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MatrixClient } from '../../src/testing/matrix-client.js';
import { temporaryDirectory, type TestDatabase } from '../../src/testing/test-postgres.js';
import { createDatabase } from '../support/database.js';
import { TestApp } from '../support/test-app.js';

interface Posted {
  readonly id: string;
  readonly type: string;
  readonly device: string | undefined;
}

let posted: Posted[];
/** Whether the target answers at all. */
let answers: boolean;
let hanging: ServerResponse[];
let target: Server;
let variables: Record<string, string>;
let database: TestDatabase;
let node: ChildProcess | undefined;

beforeEach(async () => {
  posted = [];
  hanging = [];
  answers = true;
  target = createServer((incoming, response) => {
    let body = '';
    incoming.on('data', (chunk: Buffer) => (body += chunk.toString()));
    incoming.on('end', () => {
      const { type, data } = JSON.parse(body);
      posted.push({
        id: String(incoming.headers['webhook-id']),
        type,
        device: data.devices?.[0].device_id ?? data.device_id,
      });
      if (answers) response.end();
      else hanging.push(response);
    });
  }).listen(0, '127.0.0.1');
  await once(target, 'listening');
  const file = join(await temporaryDirectory(), 'webhooks.yaml');
  const url = `http://127.0.0.1:${(target.address() as AddressInfo).port}/`;
  await writeFile(
    file,
    JSON.stringify({ webhooks: [{ name: 't', url, events: ['session.started', 'devices.deleted'] }] }),
  );
  variables = {
    WEBHOOKS_FILE: file,
    WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    WEBHOOK_SCHEMES: 'http',
    REGISTRATION: 'open',
    RATE_LIMITS: 'off',
    LOG_LEVEL: 'fatal',
    EVENT_POLL_INTERVAL: '1h',
  };
  database = await createDatabase();
});
afterEach(async () => {
  if (node?.exitCode === null && node.signalCode === null) {
    const gone = once(node, 'exit');
    node.kill('SIGKILL');
    await gone;
  }
  target.closeAllConnections();
  target.close();
  await database.drop();
});

/** Starts a node in a process of its own. */
async function start(): Promise<MatrixClient> {
  node = fork(new URL('../support/die-after-commit.mjs', import.meta.url), {
    env: { PATH: process.env['PATH'], DATABASE: JSON.stringify(database.location), ...variables },
    execArgv: [],
  });
  const [{ url }] = (await once(node, 'message')) as [{ url: string }];
  return new MatrixClient(request(url));
}

/** Lets another node deliver, before and after the lease of the dead node expires. */
async function takeOver(before: () => void = () => {}): Promise<void> {
  const other = await TestApp.start({ variables, database });
  await other.drain();
  before();
  other.clock.advance(60_000);
  await other.drain();
  await other.stop();
}

const typesOf = (deviceId: string) =>
  posted.filter(({ device }) => device === deviceId).map(({ type }) => type);

describe('A node that is killed', () => {
  it('between the commit and the delivery: another node delivers, in order', async () => {
    const client = await start();
    const session = await client.register({ device_id: 'PHONE' });
    await vi.waitFor(() => expect(typesOf('PHONE')).toEqual(['session.started']), 5_000);
    const armed = once(node!, 'message');
    node!.send('arm');
    await armed;
    const killed = once(node!, 'exit');
    await client.logout(session).then(
      () => {},
      () => {},
    );
    expect(await killed).toEqual([null, 'SIGKILL']);
    expect(typesOf('PHONE')).toEqual(['session.started']);
    await takeOver();
    expect(typesOf('PHONE')).toEqual(['session.started', 'devices.deleted']);
  });

  it('during a delivery: another node delivers the same event again when the lease has expired', async () => {
    const client = await start();
    const session = await client.register({ device_id: 'PHONE' });
    await vi.waitFor(() => expect(typesOf('PHONE')).toEqual(['session.started']), 5_000);
    answers = false;
    await client.logout(session).expect(200);
    await vi.waitFor(() => expect(typesOf('PHONE')).toHaveLength(2), 5_000);
    const killed = once(node!, 'exit');
    node!.kill('SIGKILL');
    await killed;
    answers = true;
    await takeOver(() => expect(typesOf('PHONE')).toHaveLength(2));
    expect(typesOf('PHONE')).toEqual(['session.started', 'devices.deleted', 'devices.deleted']);
    const [first, second] = posted.filter(({ type }) => type === 'devices.deleted');
    expect(second!.id).toBe(first!.id);
  });
});
