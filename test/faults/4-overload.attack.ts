import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, it, type TestContext } from 'vitest';
import { Seed, SERVER_NAME } from '../../bench/seed.js';
import { PASSWORD, V3 } from '../../src/testing/matrix-client.js';
import { conclude } from './support/attack.js';
import { trials } from './support/form.js';
import { Probe } from './support/probe.js';
import { open, type Reply, replyOf, sendRaw } from './support/raw.js';
import { Stage } from './support/stage.js';

/** What one process may hold, whatever is thrown at it. */
const MOST_MB = 400;
const PATIENCE_MS = 60_000;

const post = (path: string, body: string, token = 'x') =>
  `POST ${V3}${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n` +
  `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe('While somebody else uses it:', () => {
  let stage: Stage;
  let seed: Seed;
  let token: string;
  beforeAll(async () => {
    stage = await Stage.set(1, {
      SERVER_NAME,
      REQUEST_TIMEOUT: '5s',
    });
    seed = await Seed.open({ url: stage.postgres.url });
    token = (await seed.sessions(1))[0]!.access.token;
  });
  afterAll(async () => {
    await seed?.client.end();
    await stage?.clear();
  });

  /** Attacks while a probe uses the service. Every reply must have one of the statuses; 0 is a closed connection. */
  async function flood(
    context: TestContext,
    { of, statuses, attack }: { of: string; statuses: readonly number[]; attack: () => Promise<Reply[]> },
  ): Promise<void> {
    const probe = new Probe(stage.anyNode, await seed.sessions(100, 2));
    const replies = await attack();
    await probe.end();
    const strange = replies.filter(({ status, text, isOver }) => {
      const isMatrix = status < 400 || text.includes('\r\n\r\n{"errcode":"M_');
      return !isOver || !statuses.includes(status) || !isMatrix;
    });
    const memoryMb = await stage.peakMb();
    conclude(context, {
      trials: replies.length,
      of,
      violations: [
        ...probe.violations,
        ...strange.map(({ status, text }) => `${status} ${text.slice(0, 300)}`),
        ...(memoryMb < MOST_MB ? [] : [`${memoryMb.toFixed(0)} MB`]),
      ],
      worstMs: probe.worstMs,
      memoryMb,
      note: `the worst answer is that of ${probe.asked} requests of somebody else`,
    });
  }

  const port = () => stage.ports[0]!;
  const many = (count: number, send: (at: number) => Promise<Reply>) =>
    Promise.all(Array.from({ length: count }, (_, at) => send(at)));

  it('2,000 connections that all ask at once', (context) =>
    flood(context, {
      of: 'connections',
      statuses: [200, 503],
      attack: async () => {
        const get = `GET ${V3}/account/whoami HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`;
        return many(2_000, () => sendRaw(port(), get, PATIENCE_MS));
      },
    }));

  it('slow headers and slow bodies', (context) =>
    flood(context, {
      of: 'connections',
      statuses: [0, 408],
      attack: async () => {
        const head = `POST ${V3}/login HTTP/1.1\r\nHost: localhost\r\n`;
        const sockets = await Promise.all(Array.from({ length: trials(1_000, 200) }, () => open(port())));
        const replies = sockets.map((socket) => replyOf(socket, PATIENCE_MS));
        for (const [at, socket] of sockets.entries())
          socket.write(
            at % 2 === 0 ? head : `${head}Content-Type: application/json\r\nContent-Length: 9999\r\n\r\n{`,
          );
        // Some more of it now and then, so that nobody seems to be idle.
        const dripping = setInterval(() => {
          for (const [at, socket] of sockets.entries())
            if (!socket.destroyed) socket.write(at % 2 === 0 ? `X-${Date.now()}: x\r\n` : ' ');
        }, 500);
        const all = await Promise.all(replies);
        clearInterval(dripping);
        return all;
      },
    }));

  it('bodies of 10 MB', (context) =>
    flood(context, {
      of: 'requests',
      statuses: [413],
      attack: () => {
        const body = JSON.stringify({ type: 'm.login.password', password: 'x'.repeat(10_000_000) });
        return many(trials(100, 20), (at) =>
          sendRaw(port(), post(at % 2 === 0 ? '/login' : '/keys/upload', body, token), PATIENCE_MS),
        );
      },
    }));

  it('100,000 keys in one upload', (context) =>
    flood(context, {
      of: 'requests',
      statuses: [400, 413],
      attack: () => {
        const keys = Array.from({ length: 100_000 }, (_, at) => [`signed_curve25519:${at}`, 'x']);
        const body = JSON.stringify({ one_time_keys: Object.fromEntries(keys) });
        return many(trials(20, 5), () => sendRaw(port(), post('/keys/upload', body, token), PATIENCE_MS));
      },
    }));

  it('JSON that is nested 100,000 deep', (context) =>
    flood(context, {
      of: 'requests',
      statuses: [400],
      attack: () => {
        const lists = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
        const body = `{"one_time_keys":${lists},"device_keys":${lists}}`;
        return many(trials(100, 20), (at) =>
          sendRaw(port(), post(at % 2 === 0 ? '/login' : '/keys/upload', body, token), PATIENCE_MS),
        );
      },
    }));

  it('a storm of logins', (context) =>
    flood(context, {
      of: 'logins',
      statuses: [403, 429],
      attack: async () => {
        const login = (at: number) =>
          JSON.stringify({
            type: 'm.login.password',
            identifier: { type: 'm.id.user', user: `nobody${at}` },
            password: PASSWORD,
          });
        const replies = await many(trials(1_000, 200), (at) =>
          sendRaw(port(), post('/login', login(at)), PATIENCE_MS),
        );
        await sleep(500);
        return replies;
      },
    }));
});
