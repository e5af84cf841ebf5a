import { describe, expect, it, vi } from 'vitest';
import { Connections, MOST_WAITING, PATIENCE_MS } from '../../src/database/connections.js';
import { SharedWork } from '../../src/database/shared-work.js';
import { Turns } from '../../src/database/turns.js';
import { Unavailable } from '../../src/system/outage.js';

/** Work that ends when the test says so. */
function held(): { work: () => Promise<string>; end: () => void; begun: () => number } {
  let end = () => {};
  let begun = 0;
  const ended = new Promise<string>((resolve) => (end = () => resolve('done')));
  return {
    work: () => {
      begun += 1;
      return ended;
    },
    end: () => end(),
    begun: () => begun,
  };
}

describe('Turns', () => {
  it('run a limited number at a time, and the others after them', async () => {
    const turns = new Turns({ atOnce: 2, waiting: 10, waitMs: 10_000 });
    const { work, end, begun } = held();
    const all = Array.from({ length: 5 }, () => turns.take(work));
    await Promise.resolve();
    expect([begun(), turns.waiting]).toEqual([2, 3]);
    end();
    expect(await Promise.all(all)).toEqual(Array(5).fill('done'));
    expect(begun()).toBe(5);
  });

  it('refuse work if too much is waiting, and work that has waited too long', async () => {
    const turns = new Turns({ atOnce: 1, waiting: 1, waitMs: 30 });
    const { work, end, begun } = held();
    const first = turns.take(work);
    const late = turns.take(work);
    await expect(turns.take(work)).rejects.toBeInstanceOf(Unavailable);
    await expect(late).rejects.toBeInstanceOf(Unavailable);
    end();
    expect(await first).toBe('done');
    expect(await turns.take(work)).toBe('done');
    expect(begun()).toBe(2);
  });

  it('pass on the error of failed work', async () => {
    const turns = new Turns({ atOnce: 1, waiting: 1, waitMs: 1_000 });
    const fails = () => Promise.reject(new Error('no'));
    const outcomes = await Promise.allSettled([turns.take(fails), turns.take(fails)]);
    expect(outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason)).toEqual([
      new Error('no'),
      new Error('no'),
    ]);
  });
});

describe('Shared work whose calls hang', () => {
  it('refuses items if too many are waiting or if they have waited too long, so that none waits forever', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'setImmediate', 'performance'] });
    try {
      const hangs = { userOf: () => '', name: 'hangs', limit: 1, serve: () => new Promise<never>(() => {}) };
      const work = new SharedWork<number, number>(hangs, new Connections(1));
      const outcomes: string[] = [];
      const add = (item: number) =>
        work.together(item).then(
          () => outcomes.push('served'),
          (error: unknown) => outcomes.push(error instanceof Unavailable ? 'turned away' : String(error)),
        );
      void add(0);
      await vi.advanceTimersByTimeAsync(1);
      for (let item = 1; item <= MOST_WAITING; item += 1) void add(item);
      await vi.advanceTimersByTimeAsync(1);
      expect(outcomes).toEqual([]);
      void add(-1);
      await vi.advanceTimersByTimeAsync(1);
      expect(outcomes).toEqual(['turned away']);
      await vi.advanceTimersByTimeAsync(PATIENCE_MS * 1.2);
      expect(outcomes).toHaveLength(MOST_WAITING + 1);
      expect(new Set(outcomes)).toEqual(new Set(['turned away']));
    } finally {
      vi.useRealTimers();
    }
  });
});
