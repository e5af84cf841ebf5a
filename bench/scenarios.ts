import { randomBytes } from 'node:crypto';
import type { Call } from './load.js';
import { ONE_TIME_KEYS, type Seed, type SeededSession } from './seed.js';

/** What the service is compared with: a bare server, or itself without group commit and shared look-ups. */
export type Baseline = 'node-http' | 'express' | 'unshared';

/** One kind of request under load. */
export interface Scenario {
  readonly name: string;
  readonly baseline: Baseline;
  readonly connections: number;
  /** Requests in one round. */
  readonly requests: number;
  /** The least ratio of requests per second that we want; at one connection, the most of the median latency. */
  readonly goal: number;
  /** Fresh rows, and the requests that use them. */
  prepare(seed: Seed, requests: number): Promise<Call[]>;
}

export const AS_TOKEN = 'bench-as-token';
export const CLIENT_V3 = '/_matrix/client/v3';

const post = (path: string, { access }: SeededSession, body?: object): Call => ({
  method: 'POST',
  path: `${CLIENT_V3}/${path}`,
  token: access.token,
  ...(body === undefined ? {} : { body }),
});

/** So many requests by turns of a few hundred sessions. */
async function byTurns(
  seed: Seed,
  requests: number,
  call: (session: SeededSession, all: readonly SeededSession[], at: number) => Call,
): Promise<Call[]> {
  const sessions = await seed.sessions(Math.min(requests, 300));
  return Array.from({ length: requests }, (_, at) => call(sessions[at % sessions.length]!, sessions, at));
}

const logout = async (seed: Seed, requests: number) =>
  (await seed.sessions(requests)).map((session) => post('logout', session));

const whoami = (seed: Seed, requests: number) =>
  byTurns(seed, requests, ({ access }) => ({
    method: 'GET',
    path: `${CLIENT_V3}/account/whoami`,
    token: access.token,
  }));

function someOneTimeKeys({ userId }: SeededSession): object {
  const signatures = { [userId]: { 'ed25519:DEVICE': 's'.repeat(86) } };
  return Object.fromEntries(
    Array.from({ length: ONE_TIME_KEYS }, (_, at) => [
      `signed_curve25519:N${at}`,
      { key: randomBytes(32).toString('base64'), signatures },
    ]),
  );
}

export const scenarios: readonly Scenario[] = [
  { name: 'logout', baseline: 'node-http', connections: 32, requests: 3_000, goal: 1, prepare: logout },
  { name: 'logout', baseline: 'node-http', connections: 128, requests: 4_000, goal: 1.5, prepare: logout },
  { name: 'logout', baseline: 'node-http', connections: 1, requests: 500, goal: 1.5, prepare: logout },
  { name: 'whoami', baseline: 'express', connections: 32, requests: 8_000, goal: 1.2, prepare: whoami },
  {
    name: 'keys/upload',
    baseline: 'node-http',
    connections: 32,
    requests: 1_000,
    goal: 0.6,
    prepare: async (seed, requests) =>
      (await seed.sessions(requests, 0)).map((session) =>
        post('keys/upload', session, { one_time_keys: someOneTimeKeys(session) }),
      ),
  },
  {
    name: 'keys/query',
    baseline: 'node-http',
    connections: 32,
    requests: 4_000,
    goal: 0.6,
    prepare: (seed, requests) =>
      byTurns(seed, requests, (session, all, at) =>
        post('keys/query', session, { device_keys: { [all[(at * 7) % all.length]!.userId]: [] } }),
      ),
  },
  {
    name: 'keys/claim',
    baseline: 'node-http',
    connections: 32,
    requests: 3_000,
    goal: 0.6,
    prepare: (seed, requests) =>
      byTurns(seed, requests, (session, all, at) => {
        const { userId, deviceId } = all[(at * 7) % all.length]!;
        return post('keys/claim', session, {
          one_time_keys: { [userId]: { [deviceId]: 'signed_curve25519' } },
        });
      }),
  },
  {
    // An application service's, so that no password is hashed.
    name: 'login',
    baseline: 'node-http',
    connections: 32,
    requests: 2_000,
    goal: 0.6,
    prepare: async (seed, requests) =>
      (await seed.sessions(requests, 0)).map(({ userId }) => ({
        method: 'POST',
        path: `${CLIENT_V3}/login`,
        token: AS_TOKEN,
        body: { type: 'm.login.application_service', identifier: { type: 'm.id.user', user: userId } },
      })),
  },
  {
    name: 'refresh',
    baseline: 'node-http',
    connections: 32,
    requests: 2_000,
    goal: 0.6,
    prepare: async (seed, requests) =>
      (await seed.sessions(requests, 0)).map(({ refresh }) => ({
        method: 'POST',
        path: `${CLIENT_V3}/refresh`,
        body: { refresh_token: refresh.token },
      })),
  },
];

/** What it is worth that requests share transactions and look-ups: of an upload, the look-up only. */
export const sharing: readonly Scenario[] = scenarios
  .filter(({ name }) => name !== 'keys/upload')
  .map((scenario) => ({ ...scenario, baseline: 'unshared', goal: 1 }));
