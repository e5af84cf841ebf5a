import { describe, expect, it } from 'vitest';
import { Batcher, Impatience, NOT_SERVED } from '../../src/database/batcher.js';
import { Unavailable } from '../../src/system/outage.js';

/** A batcher whose calls end when the test says so. */
function held(sharing: { lanes: number; limit: number }) {
  const calls: { items: readonly number[]; end: (error?: Error) => void }[] = [];
  const batcher = new Batcher<number, string>(
    (items) =>
      new Promise((resolve, reject) => {
        const results = items.map((item) => `served ${item}`);
        calls.push({ items, end: (error) => (error === undefined ? resolve(results) : reject(error)) });
      }),
    sharing,
  );
  return { batcher, calls };
}

/** Two turns: one in which a call is scheduled, one in which it begins. */
const turns = async () => {
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe('A batcher', () => {
  it('serves a lonely item at once, and together those that come in one turn', async () => {
    const { batcher, calls } = held({ lanes: 2, limit: 64 });
    const one = batcher.add(1);
    await turns();
    expect(calls.map(({ items }) => items)).toEqual([[1]]);
    calls[0]!.end();
    expect(await one).toBe('served 1');
    const more = [batcher.add(2), batcher.add(3)];
    await turns();
    expect(calls.map(({ items }) => items)).toEqual([[1], [2, 3]]);
    calls[1]!.end();
    expect(await Promise.all(more)).toEqual(['served 2', 'served 3']);
  });

  it('lets items wait while its lanes are taken, and serves them with the next call, so many at the most', async () => {
    const { batcher, calls } = held({ lanes: 1, limit: 2 });
    const first = batcher.add(1);
    await turns();
    const rest = [2, 3, 4].map((item) => batcher.add(item));
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

  it('serves each alone when a shared call fails: only the guilty one is refused', async () => {
    const served: number[][] = [];
    const batcher = new Batcher<number, number>(
      async (items) => {
        served.push([...items]);
        if (items.includes(13)) throw new Error('unlucky');
        return items.map((item) => item * 2);
      },
      { lanes: 1, limit: 64 },
    );
    const results = await Promise.allSettled([1, 13, 3].map((item) => batcher.add(item)));
    expect(results).toMatchObject([{ value: 2 }, { reason: new Error('unlucky') }, { value: 6 }]);
    expect(served).toEqual([[1, 13, 3], [1], [13], [3]]);
    expect(await batcher.add(5)).toBe(10);
  });

  it('waits for nobody in its lanes: what would take long is served beside them, and whatever comes meanwhile as ever', async () => {
    let release = () => {};
    const free = new Promise<void>((resolve) => (release = resolve));
    const calls: [number[], boolean][] = [];
    const batcher = new Batcher<number, number>(
      async (items, inCompany) => {
        calls.push([[...items], inCompany]);
        if (items.some((item) => item < 0)) {
          if (inCompany) throw new Error('A listener failed', { cause: new Impatience('somebody holds it') });
          await free;
        }
        return items;
      },
      { lanes: 2, limit: 64 },
    );
    const late = [-1, -2, -3].map((item) => batcher.add(item));
    await turns();
    expect(await Promise.all([1, 2].map((item) => batcher.add(item)))).toEqual([1, 2]);
    release();
    expect(await Promise.all(late)).toEqual([-1, -2, -3]);
    expect(calls.filter(([, inCompany]) => !inCompany).map(([items]) => items)).toEqual([[-1], [-2], [-3]]);
  });

  it('serves alone what cannot be served in company', async () => {
    const batcher = new Batcher<number, number>(
      async (items) => items.map((item, at) => (at > 0 ? NOT_SERVED : item)),
      { lanes: 1, limit: 64 },
    );
    expect(await Promise.all([1, 2, 3].map((item) => batcher.add(item)))).toEqual([1, 2, 3]);
  });

  it('tries nothing again when the database cannot be had', async () => {
    const error = new Unavailable('The database is not available', { cause: new Error('connect') });
    let calls = 0;
    const batcher = new Batcher<number, number>(
      () => {
        calls += 1;
        return Promise.reject(error);
      },
      { lanes: 1, limit: 64 },
    );
    const results = await Promise.allSettled([1, 2, 3].map((item) => batcher.add(item)));
    expect(results).toMatchObject([{ reason: error }, { reason: error }, { reason: error }]);
    expect(calls).toBe(1);
  });
});
