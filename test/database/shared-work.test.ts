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
  { poolSize = 10, counts = {} }: { poolSize?: number; counts?: Partial<Record<WorkEvent, number>> } = {},
) {
  return new SharedWork<number, Result>(
    { name: 'test', limit: 64, ...kind },
    new Connections(poolSize),
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

/** Two turns: one in which a call is scheduled, one in which it begins. */
const turns = async () => {
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe('Shared work', () => {
  it('serves a lonely item at once, and together those that come in one turn', async () => {
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

  it('lets items wait while its calls are under way, and serves them with the next one, up to its limit', async () => {
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

  it('tries each item by itself when a shared call fails: only the guilty one fails', async () => {
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

  it('tries an item that would have to wait outside the shared calls, which go on meanwhile', async () => {
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

  it('tries a refused item once more by itself, and does not repeat the others', async () => {
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

  it('puts no two items of one key into one call, and keeps their order', async () => {
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

  it('of one kind that has to wait long leaves room for other kinds', async () => {
    const connections = new Connections(10);
    const stuck = new SharedWork<number, number>(
      {
        name: 'stuck',
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

  it('tries nothing again when the database cannot be had', async () => {
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
});

describe('The connections of a pool', () => {
  it.each([
    [1, { transactions: 1, patient: 1, shared: 1 }],
    [2, { transactions: 1, patient: 1, shared: 1 }],
    [10, { transactions: 8, patient: 4, shared: 2 }],
    [50, { transactions: 40, patient: 20, shared: 2 }],
  ])('%i of them leave some for look-ups', async (poolSize, { transactions, patient, shared }) => {
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
          // The one too many is refused after a while.
          .catch(() => {});
      await turns();
      expect(running).toBe(most);
    }
  });
});
