import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { MoodyRelay } from '../support/moody-relay.js';
import type { OwnPostgres } from '../support/own-postgres.js';
import { trials } from './support/form.js';
import { besiege } from './support/siege.js';
import { Stage } from './support/stage.js';

const NODES = 2;
const UNAVAILABLE = [503];
const SOME_TIME_MS = 2_000;

describe('A primary with a streaming replica, synchronous_commit = remote_apply:', () => {
  let primary: OwnPostgres;
  let standby: OwnPostgres;
  /** Leads to the primary, as a proxy or an address that moves would. */
  let relay: MoodyRelay;
  let stage: Stage;

  beforeEach(async () => {
    stage = await Stage.set(
      NODES,
      {},
      {
        settings: { synchronous_commit: 'remote_apply' },
        prepare: async (postgres) => {
          primary = postgres;
          standby = await postgres.standby();
          await postgres.execute(`ALTER SYSTEM SET synchronous_standby_names = 'standby'`);
          await postgres.execute('SELECT pg_reload_conf()');
          relay = await MoodyRelay.start(postgres.port);
          return { DATABASE_URL: `postgresql://postgres@127.0.0.1:${relay.port}/postgres` };
        },
      },
    );
  });
  afterEach(async () => {
    await stage?.clear();
    await primary?.stop();
    await standby?.stop();
    relay?.stop();
  });

  // Each needs a pair of its own, as nothing goes back to the old primary.
  for (let nth = 1; nth <= trials(5, 1); nth += 1)
    it(`the primary is killed and the replica promoted, under load (${nth})`, async (context) => {
      const attack = async () => {
        await sleep(Math.random() * SOME_TIME_MS);
        await primary.kill();
        await standby.promote();
        stage.postgres = standby;
        relay.lead(standby.port);
        await sleep(SOME_TIME_MS);
      };
      await besiege(context, stage, { trials: 1, of: 'promotion', allowed: UNAVAILABLE, attack });
    });

  it('the service is led to the replica, which is read only', async (context) => {
    const rounds = trials(5, 1);
    const attack = async () => {
      for (let round = 0; round < rounds; round += 1) {
        await sleep(SOME_TIME_MS);
        relay.lead(standby.port);
        await sleep(SOME_TIME_MS);
        relay.lead(primary.port);
      }
      await sleep(SOME_TIME_MS);
    };
    await besiege(context, stage, { trials: rounds, of: 'times', allowed: UNAVAILABLE, attack });
  });
});
