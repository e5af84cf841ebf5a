import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { trials } from './support/form.js';
import { besiege } from './support/siege.js';
import { SmallVolume } from './support/small-volume.js';
import { Stage } from './support/stage.js';

const NODES = 2;
/** How long after its start something may be killed. */
const LIFE_MS = 2_000;
const RECOVERY_MS = 5_000;

const someTime = () => sleep(Math.random() * LIFE_MS);

/** What every outage of the database may be answered with. */
const UNAVAILABLE = [503];

describe('Crashes under load:', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.set(NODES);
  });
  afterAll(() => stage?.clear());

  it('kill -9 of the service at random moments', async (context) => {
    const rounds = trials(100, 4);
    const attack = async () => {
      const killing = Array.from({ length: NODES }, async (_, at) => {
        for (let round = at; round < rounds; round += NODES) {
          await someTime();
          await stage.end(at, 'SIGKILL');
          await stage.start(at);
        }
      });
      await Promise.all(killing);
    };
    await besiege(context, stage, { trials: rounds, of: 'kills', attack });
  });

  it('kill -9 of PostgreSQL', async (context) => {
    const rounds = trials(20, 1);
    const attack = async () => {
      for (let round = 0; round < rounds; round += 1) {
        await someTime();
        await stage.postgres.kill();
        await stage.postgres.resume();
      }
    };
    await besiege(context, stage, { trials: rounds, of: 'kills', allowed: UNAVAILABLE, attack });
  });

  it('kill -9 of single backends', async (context) => {
    const rounds = trials(30, 2);
    const attack = async () => {
      for (let round = 0; round < rounds; round += 1) {
        await someTime();
        // The server may still be recovering from the last one.
        await stage.postgres.killBackend().catch(() => {});
      }
    };
    await besiege(context, stage, { trials: rounds, of: 'kills', allowed: UNAVAILABLE, attack });
  });

  it('pg_terminate_backend of all connections', async (context) => {
    const rounds = trials(200, 10);
    const attack = async () => {
      for (let round = 0; round < rounds; round += 1) {
        await sleep(Math.random() * 100);
        await stage.postgres.execute(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'matrix-session-service'`,
        );
      }
    };
    await besiege(context, stage, { trials: rounds, of: 'rounds', allowed: UNAVAILABLE, attack });
  });

  it('kill -9 of PostgreSQL and of a node at once', async (context) => {
    const rounds = trials(10, 1);
    const attack = async () => {
      for (let round = 0; round < rounds; round += 1) {
        await someTime();
        await Promise.all([stage.postgres.kill(), stage.end(round % NODES, 'SIGKILL')]);
        await stage.postgres.resume();
        await stage.start(round % NODES);
      }
    };
    await besiege(context, stage, { trials: rounds, of: 'kills', allowed: UNAVAILABLE, attack });
  });

  it('PostgreSQL frozen by SIGSTOP', async (context) => {
    const seconds = trials(20, 3);
    const attack = async () => {
      await someTime();
      await stage.postgres.freeze();
      await sleep(seconds * 1_000);
      await stage.postgres.thaw();
    };
    await besiege(context, stage, {
      trials: seconds,
      of: 'seconds',
      allowed: UNAVAILABLE,
      withinMs: RECOVERY_MS,
      attack,
    });
  });

  it('max_connections used up by others', async (context) => {
    const rounds = trials(5, 1);
    const attack = async () => {
      for (let round = 0; round < rounds; round += 1) {
        const others = await stage.useUpConnections();
        // The service has to open its connections anew, and finds none.
        await stage.postgres
          .execute(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'matrix-session-service'`,
          )
          .catch(() => {});
        await sleep(LIFE_MS);
        await Promise.all(others.map((other) => other.end()));
        await someTime();
      }
    };
    await besiege(context, stage, {
      trials: rounds,
      of: 'times',
      allowed: UNAVAILABLE,
      withinMs: RECOVERY_MS,
      attack,
    });
  });
});

describe('A full disk', () => {
  let volume: SmallVolume;
  let stage: Stage;
  beforeAll(async () => {
    volume = await SmallVolume.mount();
    const settings = { min_wal_size: '32MB', max_wal_size: '64MB' };
    stage = await Stage.set(1, {}, { settings, directory: volume.directory });
  });
  afterAll(async () => {
    await stage?.clear();
    await volume?.unmount();
  });

  it('under PostgreSQL, under load', async (context) => {
    const rounds = trials(5, 1);
    const attack = async () => {
      for (let round = 0; round < rounds; round += 1) {
        await someTime();
        await volume.fill();
        await sleep(LIFE_MS);
        await volume.free();
        // It gives up if there is no room for its log.
        await stage.postgres.resume().catch(() => {});
        await someTime();
      }
    };
    await besiege(context, stage, { trials: rounds, of: 'times', allowed: UNAVAILABLE, attack });
  });
});
