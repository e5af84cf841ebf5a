import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Synapse } from '../test/support/synapse.js';
import type { Arena } from './arena.js';
import type { Contestant } from './contestant.js';
import { type Call, load, type Measured } from './load.js';
import { median } from './report.js';
import { CLIENT_V3, type Scenario } from './scenarios.js';
import { SERVER_NAME } from './seed.js';

const SECRET = 'a-secret-that-the-homeserver-and-the-service-share';
const PASSWORD = 'correct horse battery staple';

/** An introspection compared with whoami of the same service. */
export interface Introspection {
  readonly connections: number;
  readonly introspection: Measured;
  readonly whoami: Measured;
  /** Median latency at one connection, seconds for each request at more, to those of whoami. */
  readonly ratio: number;
}

/** By turns, introspections and whoami, on one service. */
export async function introspection(
  arena: Arena,
  whoami: Scenario,
  requests: number,
  rounds: number,
): Promise<Introspection[]> {
  // Nobody calls the homeserver here; its users must be known all the same.
  const service = await arena.service({ HOMESERVER_URL: 'http://127.0.0.1:1', HOMESERVER_SECRET: SECRET });
  const results: Introspection[] = [];
  for (const connections of [32, 1]) {
    const runs: Record<'introspection' | 'whoami', Measured[]> = { introspection: [], whoami: [] };
    for (let round = -1; round < rounds; round += 1) {
      const calls = await whoami.prepare(arena.seed, connections === 1 ? Math.ceil(requests / 8) : requests);
      await arena.seed.client.query(
        'INSERT INTO homeserver_users SELECT user_id, now() FROM accounts ON CONFLICT (user_id) DO NOTHING',
      );
      await arena.seed.settle();
      const kinds = [
        ['whoami', calls],
        ['introspection', calls.map(toIntrospection)],
      ] as const;
      for (const [kind, own] of round % 2 === 0 ? kinds : kinds.toReversed()) {
        const measured = await load(service, own, connections);
        if (round >= 0) runs[kind].push(measured);
      }
    }
    const [asked, known] = [medians(runs.introspection), medians(runs.whoami)];
    const ratio = connections === 1 ? asked.p50 / known.p50 : known.perSecond / asked.perSecond;
    results.push({ connections, introspection: asked, whoami: known, ratio });
    console.log(
      `introspection @${connections}: ${asked.perSecond.toFixed(0)}/s p50 ${asked.p50.toFixed(2)} | whoami ` +
        `${known.perSecond.toFixed(0)}/s p50 ${known.p50.toFixed(2)} | x${ratio.toFixed(2)} ` +
        `(${ratio <= 1.3 ? 'reached' : 'wanted'} 1.3)`,
    );
  }
  await service.stop();
  return results;
}

/** What a logout takes with a real Synapse, and without a homeserver, one at a time. Milliseconds, medians. */
export interface LogoutWithSynapse {
  readonly withSynapse: number;
  readonly alone: number;
}

/** Left out where `SYNAPSE` names no Python that has Synapse. */
export async function logoutWithSynapse(
  arena: Arena,
  logouts: number,
  rounds: number,
): Promise<LogoutWithSynapse | null> {
  if (!process.env['SYNAPSE']) {
    console.log('logout with Synapse: left out, because SYNAPSE names no Python that has it');
    return null;
  }
  const port = await freePort();
  const common = { REGISTRATION: 'open', PASSWORD_HASH_MEMORY_KIB: '8192', PASSWORD_HASH_PASSES: '1' };
  const alone = await arena.service(common);
  const neighbour = await arena.neighbour();
  const paired = await neighbour.service({
    ...common,
    HOMESERVER_URL: `http://127.0.0.1:${port}`,
    HOMESERVER_SECRET: SECRET,
  });
  const synapse = await Synapse.start({
    endpoint: paired.url,
    secret: SECRET,
    port,
    more: { server_name: SERVER_NAME },
  });
  const runs: Record<'paired' | 'alone', number[]> = { paired: [], alone: [] };
  try {
    for (let round = -1; round < rounds; round += 1) {
      for (const [kind, service] of [
        ['paired', paired],
        ['alone', alone],
      ] as const) {
        const taken = await logOut(service, logouts, round);
        if (round >= 0) runs[kind].push(taken);
      }
    }
  } finally {
    await synapse.stop();
    await paired.stop();
    await neighbour.close();
    await alone.stop();
  }
  const result = { withSynapse: median(runs.paired), alone: median(runs.alone) };
  console.log(
    `logout with Synapse: p50 ${result.withSynapse.toFixed(1)} ms | without ${result.alone.toFixed(1)} ms`,
  );
  return result;
}

/** The median time of logouts of one user, one after the other. */
async function logOut(service: Contestant, logouts: number, round: number): Promise<number> {
  const username = `bench-${round + 1}`;
  await send(service, {
    path: 'register',
    body: { username, password: PASSWORD, auth: { type: 'm.login.dummy' } },
  });
  const times: number[] = [];
  for (let nth = 0; nth < logouts; nth += 1) {
    const { access_token: token } = await send(service, {
      path: 'login',
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: username },
        password: PASSWORD,
      },
    });
    const began = performance.now();
    await send(service, { path: 'logout', token: token! });
    times.push(performance.now() - began);
  }
  return median(times);
}

async function send(
  { url }: Contestant,
  { path, token, body = {} }: { path: string; token?: string; body?: object },
): Promise<Record<string, string>> {
  const answer = await fetch(`${url}${CLIENT_V3}/${path}`, {
    method: 'POST',
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
  if (answer.status !== 200) throw new Error(`${path} is answered with ${answer.status}`);
  return (await answer.json()) as Record<string, string>;
}

function toIntrospection({ token }: Call): Call {
  return {
    method: 'POST',
    path: '/oauth2/introspect',
    token: SECRET,
    body: `token=${token}&token_type_hint=access_token`,
  };
}

function medians(runs: readonly Measured[]): Measured {
  const of = (key: keyof Measured) => median(runs.map((run) => run[key]));
  return { perSecond: of('perSecond'), p50: of('p50'), p99: of('p99'), cpuUs: of('cpuUs') };
}

async function freePort(): Promise<number> {
  const server: Server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
