import { DatabaseError } from 'pg';
import { describe, expect, it } from 'vitest';
import { Connections } from '../../src/database/connections.js';
import {
  type Kind,
  type Outcome,
  SharedWork,
  TookTooLong,
  type WorkEvent,
} from '../../src/database/shared-work.js';
import { Unavailable } from '../../src/system/outage.js';

/** Shared work on a pool that allows one call of a kind at once, or two. */
function sharing<Result>(
  kind: Partial<Kind<number, Result>> & Pick<Kind<number, Result>, 'serve'>,
  {
    poolSize = 10,
    counts = {},
    isByUser = false,
  }: { poolSize?: number; counts?: Partial<Record<WorkEvent, number>>; isByUser?: boolean } = {},
) {
  return new SharedWork<number, Result>(
    { name: 'test', limit: 64, userOf: () => '', ...kind },
    new Connections(poolSize, isByUser),
    (what, by) => {
      counts[what] = (counts[what] ?? 0) + by;
    },
  );
}

const resultsOf = <Result>(results: readonly Result[]): Outcome<Result>[] =>
  results.map((result) => ({ result }));

/** Shared work whose calls end when the test says so. */
function held({ limit, poolSize }: { limit: number; poolSize: number }) {
  const calls: { items: readonly number[]; end: (error?: Error) => void }[] = [];
  const serve = (items: readonly number[]) =>
    new Promise<Outcome<string>[]>((resolve, reject) => {
      const results = resultsOf(items.map((item) => `served ${item}`));
      calls.push({ items, end: (error) => (error === undefined ? resolve(results) : reject(error)) });
    });
  return { work: sharing({ limit, serve }, { poolSize }), calls };
}

/** Waits for two turns of the event loop: one schedules a call, the next starts it. */
const turns = async () => {
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe('Shared work', () => {
  it('serves a single item at once, and items of one turn together', async () => {
    const { work, calls } = held({ poolSize: 10, limit: 64 });
    const one = work.together(1);
    await turns();
    expect(calls.map(({ items }) => items)).toEqual([[1]]);
    calls[0]!.end();
    expect(await one).toBe('served 1');
    const more = [work.together(2), work.together(3)];
    await turns();
    expect(calls.map(({ items }) => items)).toEqual([[1], [2, 3]]);
    calls[1]!.end();
    expect(await Promise.all(more)).toEqual(['served 2', 'served 3']);
  });

  it('makes items wait for calls in progress, and serves them with the next call, up to its limit', async () => {
    const { work, calls } = held({ poolSize: 1, limit: 2 });
    const first = work.together(1);
    await turns();
    const rest = [2, 3, 4].map((item) => work.together(item));
    await turns();
    expect(calls.map(({ items }) => items)).toEqual([[1]]);
    calls[0]!.end();
    await first;
    await turns();
    expect(calls.map(({ items }) => items)).toEqual([[1], [2, 3]]);
    calls[1]!.end();
    await Promise.all(rest.slice(0, 2));
    await turns();
    calls[2]!.end();
    expect(await Promise.all(rest)).toEqual(['served 2', 'served 3', 'served 4']);
  });

  it('retries each item on its own when a shared call fails, so that only the faulty item fails', async () => {
    const served: number[][] = [];
    const counts: Partial<Record<WorkEvent, number>> = {};
    const work = sharing(
      {
        serve: async (items) => {
          served.push([...items]);
          if (items.includes(13)) throw new Error('unlucky');
          return resultsOf(items.map((item) => item * 2));
        },
      },
      { poolSize: 1, counts },
    );
    const results = await Promise.allSettled([1, 13, 3].map((item) => work.together(item)));
    expect(results).toMatchObject([{ value: 2 }, { reason: new Error('unlucky') }, { value: 6 }]);
    expect(served).toEqual([[1, 13, 3], [1], [13], [3]]);
    expect(await work.together(5)).toBe(10);
    expect(counts).toEqual({ calls: 5, items: 7, alone: 3 });
  });

  it('retries items that would have to wait for a lock outside the shared calls, which continue in the meantime', async () => {
    let release = () => {};
    const free = new Promise<void>((resolve) => (release = resolve));
    const calls: [number[], boolean][] = [];
    const work = sharing<number>({
      serve: async (items, isShared) => {
        calls.push([[...items], isShared]);
        if (items.some((item) => item < 0)) {
          if (isShared) throw new Error('A listener failed', { cause: new TookTooLong('somebody holds it') });
          await free;
        }
        return resultsOf(items);
      },
    });
    const late = [-1, -2, -3].map((item) => work.together(item));
    await turns();
    expect(await Promise.all([1, 2].map((item) => work.together(item)))).toEqual([1, 2]);
    release();
    expect(await Promise.all(late)).toEqual([-1, -2, -3]);
    expect(calls.filter(([, isShared]) => !isShared).map(([items]) => items)).toEqual([[-1], [-2], [-3]]);
  });

  it('retries a refused item on its own, and does not repeat the others', async () => {
    const served: number[][] = [];
    const work = sharing<number>(
      {
        serve: async (items) => {
          served.push([...items]);
          if (items.length === 1 && items[0] === 13) throw new Error('unlucky');
          return items.map((item) => (item === 13 ? { refusal: new Error('not here') } : { result: item }));
        },
      },
      { poolSize: 1 },
    );
    const results = await Promise.allSettled([1, 13, 3].map((item) => work.together(item)));
    expect(results).toMatchObject([{ value: 1 }, { reason: new Error('unlucky') }, { value: 3 }]);
    expect(served).toEqual([[1, 13, 3], [13]]);
  });

  it('never puts two items with the same key into one call, and keeps their order', async () => {
    const served: number[][] = [];
    const work = sharing<number>(
      {
        keyOf: (item) => String(item % 10),
        serve: async (items) => {
          served.push([...items]);
          return resultsOf(items);
        },
      },
      { poolSize: 1 },
    );
    await Promise.all([1, 11, 2, 21, 12].map((item) => work.together(item)));
    expect(served).toEqual([[1, 2], [11, 12], [21]]);
  });

  it('of one kind that waits for a long time leaves room for other kinds', async () => {
    const connections = new Connections(10);
    const stuck = new SharedWork<number, number>(
      {
        name: 'stuck',
        userOf: () => '',
        limit: 64,
        serve: (_, isShared) =>
          isShared ? Promise.reject(new TookTooLong('somebody holds it')) : new Promise(() => {}),
      },
      connections,
    );
    for (let item = 0; item < 10; item += 1) stuck.together(item).catch(() => {});
    for (let turn = 0; turn < 20; turn += 1) await turns();
    let attempts = 0;
    const other = new SharedWork<number, number>(
      {
        name: 'other',
        userOf: () => '',
        limit: 64,
        serve: async (items, isShared) => {
          attempts += 1;
          if (isShared) throw new TookTooLong('somebody holds it');
          return resultsOf(items);
        },
      },
      connections,
    );
    expect(await other.together(1)).toBe(1);
    expect(attempts).toBe(2);
  });

  it('does not retry when the database is not available', async () => {
    const error = new Unavailable('The database is not available', { cause: new Error('connect') });
    let calls = 0;
    const work = sharing<number>({
      serve: () => {
        calls += 1;
        return Promise.reject(error);
      },
    });
    const results = await Promise.allSettled([1, 2, 3].map((item) => work.together(item)));
    expect(results).toMatchObject([{ reason: error }, { reason: error }, { reason: error }]);
    expect(calls).toBe(1);
  });

  it('retries one by one when the database says that some of it is not available', async () => {
    const cause = Object.assign(new DatabaseError('no connection to the worker', 0, 'error'), {
      code: '08006',
    });
    const work = sharing<number>({
      serve: async (items) => {
        if (items.includes(2)) throw new Unavailable('The database is not available', { cause });
        return resultsOf(items);
      },
    });
    const results = await Promise.allSettled([1, 2, 3].map((item) => work.together(item)));
    expect(results).toMatchObject([{ value: 1 }, { reason: { cause } }, { value: 3 }]);
  });

  it('by user: serves one user in each call, several users at once, and each user in order', async () => {
    const calls: { items: readonly number[]; end: () => void }[] = [];
    const work = sharing<number>(
      {
        // 11 and 12 are of one user, 21 of another.
        userOf: (item) => String(Math.floor(item / 10)),
        serve: (items) =>
          new Promise((resolve) => calls.push({ items, end: () => resolve(resultsOf(items)) })),
      },
      { isByUser: true },
    );
    const all = [11, 21, 12, 31].map((item) => work.together(item));
    await turns();
    const late = work.together(13);
    await turns();
    expect(calls.map(({ items }) => items)).toEqual([[11, 12], [21], [31]]);
    for (const { end } of calls) end();
    await Promise.all(all);
    await turns();
    expect(calls.at(-1)!.items).toEqual([13]);
    calls.at(-1)!.end();
    expect(await late).toBe(13);
  });
});

describe('The connections of a pool', () => {
  it.each([
    [1, { transactions: 1, patient: 1, shared: 1 }],
    [2, { transactions: 1, patient: 1, shared: 1 }],
    [10, { transactions: 8, patient: 4, shared: 2 }],
    [50, { transactions: 40, patient: 20, shared: 2 }],
  ])('leave some of %i connections for look-ups', async (poolSize, { transactions, patient, shared }) => {
    const connections = new Connections(poolSize);
    expect(connections.sharedAtOnce).toBe(shared);
    for (const [turnsOf, most] of [
      [connections.transactions, transactions],
      [connections.patient, patient],
    ] as const) {
      let running = 0;
      for (let nth = 0; nth <= most; nth += 1)
        turnsOf
          .take(async () => {
            running += 1;
            await new Promise(() => {});
          })
          // The excess item is refused after a while.
          .catch(() => {});
      await turns();
      expect(running).toBe(most);
    }
  });
});
