import { describe, expect, it } from 'vitest';
import { type Tx, UnitOfWork } from '../../src/index.js';
import { Unavailable } from '../../src/system/outage.js';
import { useApp } from '../support/test-app.js';

const app = useApp();
const unitOfWork = () => app().nest.get(UnitOfWork);
const insert = (tx: Tx, name: string) =>
  tx.query({ name: 'test_insert', text: 'INSERT INTO accounts (user_id, created_at) VALUES ($1, $2)' }, [
    name,
    tx.startedAt,
  ]);
const exists = async (name: string) =>
  (await app().sql('SELECT FROM accounts WHERE user_id = $1', [name])).length === 1;

describe('A unit of work', () => {
  it('commits when it resolves', async () => {
    expect(await unitOfWork().run(async (tx) => void (await insert(tx, 'commits')))).toBeUndefined();
    expect(await exists('commits')).toBe(true);
  });

  it('rolls back when it rejects', async () => {
    const work = unitOfWork().run(async (tx) => {
      await insert(tx, 'rolls-back');
      throw new Error('no');
    });
    await expect(work).rejects.toThrow('no');
    expect(await exists('rolls-back')).toBe(false);
  });

  it('lets entities and statements share the transaction', async () => {
    const work = unitOfWork().run(async (tx) => {
      await tx.manager.query(`INSERT INTO accounts (user_id, created_at) VALUES ('by-manager', now())`);
      expect(
        await tx.query({ name: 'test_see', text: `SELECT FROM accounts WHERE user_id = 'by-manager'` }),
      ).toHaveLength(1);
      throw new Error('no');
    });
    await expect(work).rejects.toThrow('no');
    expect(await exists('by-manager')).toBe(false);
  });

  it('rejects with the error of a failed statement that the work has swallowed', async () => {
    const work = unitOfWork().run(async (tx) => {
      await insert(tx, 'hidden');
      await insert(tx, 'hidden').catch(() => {});
    });
    await expect(work).rejects.toMatchObject({ code: '23505' });
    expect(await exists('hidden')).toBe(false);
  });

  it('accepts no statements after its end', async () => {
    let leaked: Tx | undefined;
    await unitOfWork().run(async (tx) => void (leaked = tx));
    await expect(insert(leaked!, 'leaked')).rejects.toThrow('The transaction is over');
    await expect(leaked!.manager.query('SELECT 1')).rejects.toThrow();
    expect(await exists('leaked')).toBe(false);
  });

  it('runs no query of the entity manager after its end', async () => {
    const text = `INSERT INTO accounts (user_id, created_at) VALUES ($1, now())`;
    const late: Promise<unknown>[] = [];
    let isAtWork = true;
    const work = unitOfWork().run(async ({ manager }) => {
      const insertMore = () => {
        late.push(manager.query(text, [`late${late.length}`]).catch(() => {}));
        if (isAtWork) setImmediate(insertMore);
      };
      insertMore();
      await new Promise((resolve) => setTimeout(resolve, 20));
      // The statement that ends the transaction waits in line behind this one.
      late.push(manager.query('SELECT pg_sleep(0.2)').catch(() => {}));
      await new Promise((resolve) => setTimeout(resolve, 20));
      throw new Error('no');
    });
    await expect(work).rejects.toThrow('no');
    isAtWork = false;
    await Promise.all(late);
    const names = late.map((_, at) => `late${at}`);
    expect((await Promise.all(names.map(exists))).filter(Boolean)).toEqual([]);
  });

  it('survives a real deadlock: both sides commit', async () => {
    for (const name of ['left', 'right']) await unitOfWork().run((tx) => insert(tx, name));
    const lock = { name: 'test_lock', text: 'SELECT FROM accounts WHERE user_id = $1 FOR UPDATE' };
    let bothHoldOne = 0;
    let attempts = 0;
    const take = (first: string, second: string) =>
      unitOfWork().run(async (tx) => {
        attempts += 1;
        await tx.query(lock, [first]);
        bothHoldOne += 1;
        // The first attempts wait for each other, which forces the deadlock.
        while (bothHoldOne < 2) await new Promise((resolve) => setTimeout(resolve, 5));
        await tx.query(lock, [second]);
      });
    await Promise.all([take('left', 'right'), take('right', 'left')]);
    expect(attempts).toBe(3);
  });

  it('does not retry an error that would occur again', async () => {
    let attempts = 0;
    const work = unitOfWork().run(async (tx) => {
      attempts += 1;
      await tx.query({ name: 'test_broken', text: 'SELECT * FROM nothing_of_this_name' });
    });
    await expect(work).rejects.toMatchObject({ code: '42P01' });
    expect(attempts).toBe(1);
  });

  it('survives the loss of its connection', async () => {
    const work = unitOfWork().run(async (tx) => {
      await tx.query({ name: 'test_die', text: 'SELECT pg_terminate_backend(pg_backend_pid())' });
    });
    await expect(work).rejects.toThrow();
    expect(await unitOfWork().query({ name: 'test_alive', text: 'SELECT 1 AS one' })).toEqual([{ one: 1 }]);
  });

  it('makes callers wait if there are more of them than connections, and serves them all', async () => {
    const sleep = { name: 'test_sleep', text: 'SELECT pg_sleep(0.05)' };
    const answers = await Promise.all(
      Array.from({ length: 60 }, () => unitOfWork().run((tx) => tx.query(sleep))),
    );
    expect(answers).toHaveLength(60);
  });

  it('commits nothing if a statement before the COMMIT cannot be created', async () => {
    const work = unitOfWork().run(async (tx) => {
      await insert(tx, 'before');
      tx.beforeCommit(() => ({
        statement: { name: 'test_last', text: `INSERT INTO accounts VALUES ('last', now())` },
        values: [],
      }));
      tx.beforeCommit(() => {
        throw new Error('cannot be made');
      });
    });
    await expect(work).rejects.toThrow('cannot be made');
    expect([await exists('before'), await exists('last')]).toEqual([false, false]);
  });

  it('resolves even if a commit listener throws, and calls the other listeners', async () => {
    const told: string[] = [];
    const work = unitOfWork().run(async (tx) => {
      await insert(tx, 'told');
      tx.afterCommit(() => {
        throw new Error('against its word');
      });
      tx.afterCommit(() => told.push('the other'));
      return 'done';
    });
    expect(await work).toBe('done');
    expect([await exists('told'), told]).toEqual([true, ['the other']]);
  });

  it('retries exactly once if its connection dies before the COMMIT', async () => {
    let attempts = 0;
    const dying = (deaths: number) => async (tx: Tx) => {
      attempts += 1;
      if (attempts <= deaths)
        await tx.query({ name: 'test_die', text: 'SELECT pg_terminate_backend(pg_backend_pid())' });
      await insert(tx, `survives ${deaths}`);
    };
    await unitOfWork().run(dying(1));
    expect([attempts, await exists('survives 1')]).toEqual([2, true]);
    attempts = 0;
    await expect(unitOfWork().run(dying(2))).rejects.toBeInstanceOf(Unavailable);
    expect(attempts).toBe(2);
  });

  it.each([
    [
      'a call out that failed',
      new TypeError('fetch failed', { cause: Object.assign(new Error('read'), { code: 'ECONNRESET' }) }),
    ],
    ['a file that is not there', Object.assign(new Error('no such file'), { code: 'ENOENT' })],
  ])('does not treat %s as an outage of the database, and does not retry the work', async (_, failure) => {
    let attempts = 0;
    const work = unitOfWork().run(async (tx) => {
      attempts += 1;
      await insert(tx, 'calls out');
      throw failure;
    });
    await expect(work).rejects.toBe(failure);
    expect([attempts, await exists('calls out')]).toEqual([1, false]);
  });

  it('also recognises an outage in an error of the entity manager', async () => {
    const work = unitOfWork().run((tx) => tx.manager.query('SELECT pg_terminate_backend(pg_backend_pid())'));
    await expect(work).rejects.toBeInstanceOf(Unavailable);
  });
});
