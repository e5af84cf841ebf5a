import { afterAll, beforeAll, describe, it } from 'vitest';
import { Nginx } from '../support/nginx.js';
import { freePort } from '../support/service-process.js';
import { trials } from './support/form.js';
import { besiege } from './support/siege.js';
import { Stage } from './support/stage.js';

const NODES = 3;

// Runs only if NGINX names the program, as in CI.
describe('Three nodes behind nginx:', () => {
  let stage: Stage;
  let nginx: Nginx;
  beforeAll(async () => {
    stage = await Stage.set(NODES, { TRUST_PROXY: 'loopback' });
    nginx = await Nginx.start(stage.ports, await freePort());
    stage.front = nginx.url;
  });
  afterAll(async () => {
    await nginx?.stop();
    await stage?.clear();
  });

  it('a rolling restart behind nginx, under load', async (context) => {
    const rounds = trials(3, 1);
    await besiege(context, stage, {
      trials: rounds * NODES,
      of: 'restarts',
      attack: async ({ ledger }) => {
        for (let nth = 0; nth < rounds * NODES; nth += 1) {
          const code = await stage.end(nth % NODES, 'SIGTERM');
          if (code !== 0) ledger.violations.push(`a node ended with ${code}`);
          await stage.start(nth % NODES);
        }
        const lost = [...ledger.counts.keys()].filter((what) => what.endsWith('lost'));
        ledger.violations.push(...lost.map((what) => `${what}: connections were lost`));
      },
    });
  });
});
