import autocannon from 'autocannon';
import type { Arena } from './arena.js';
import { load } from './load.js';
import { median } from './report.js';
import { CLIENT_V3, type Scenario } from './scenarios.js';

/** What whoami's slowest percent feels of a storm of logins, which hash passwords. */
export interface Storm {
  /** Milliseconds, medians. */
  readonly quietP99: number;
  readonly stormP99: number;
  readonly ratio: number;
  /** Logins answered for each second of the storm, those refused with 429 included. */
  readonly loginsPerSecond: number;
}

const CONNECTIONS = 8;
const STORMERS = 16;

/** By turns, whoami alone and whoami while passwords are tried. */
export async function storm(
  arena: Arena,
  whoami: Scenario,
  { rounds, requests }: { rounds: number; requests: number },
): Promise<Storm> {
  const service = await arena.service();
  const [quiet, stormy, logins] = [[], [], []] as [number[], number[], number[]];
  for (let round = -1; round < rounds; round += 1) {
    for (const isStorm of [false, true]) {
      const calls = await whoami.prepare(arena.seed, requests);
      await arena.seed.settle();
      const attack = isStorm ? tryPasswords(service.url) : null;
      const { p99 } = await load(service, calls, CONNECTIONS);
      const perSecond = await attack?.stop();
      if (round < 0) continue;
      (isStorm ? stormy : quiet).push(p99);
      if (perSecond !== undefined) logins.push(perSecond);
    }
  }
  await service.stop();
  const [quietP99, stormP99] = [median(quiet), median(stormy)];
  const result = { quietP99, stormP99, ratio: stormP99 / quietP99, loginsPerSecond: median(logins) };
  console.log(
    `whoami @${CONNECTIONS} p99 ${quietP99.toFixed(1)} ms, in a storm of logins ${stormP99.toFixed(1)} ms: ` +
      `x${result.ratio.toFixed(2)} (${result.ratio <= 3 ? 'reached' : 'wanted'} 3)`,
  );
  return result;
}

function tryPasswords(url: string): { stop(): Promise<number> } {
  const started = performance.now();
  let answered = 0;
  // Autocannon's promise comes with its instance.
  const instance = autocannon(
    {
      url: `${url}${CLIENT_V3}/login`,
      connections: STORMERS,
      duration: 600,
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      // An unknown user costs as much as a known one.
      body: JSON.stringify({
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: 'nobody' },
        password: 'a wrong password',
      }),
    },
    () => {},
  );
  instance.on('response', () => (answered += 1));
  return {
    async stop() {
      const perSecond = answered / ((performance.now() - started) / 1_000);
      const done = new Promise((resolve) => instance.once('done', resolve));
      (instance as unknown as { stop(): void }).stop();
      await done;
      return perSecond;
    },
  };
}
