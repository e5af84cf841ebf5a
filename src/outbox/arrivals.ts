import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { Clock } from '../system/clock.js';
import { OutboxStore } from './outbox.store.js';

/** The first look at the database, for events that another node delivers; the lane of this node tells sooner. */
const FIRST_LOOK_MS = 100;
const NEXT_LOOK_MS = 250;

/** What became of events within the time: all arrived, one was refused for good, or some are still on their way. */
export type Arrival = 'arrived' | 'late' | { readonly refusal: string };

interface Waiter {
  readonly left: Set<string>;
  readonly resolve: (arrival: Arrival) => void;
}

/** Lets requests wait until a subscriber has received their events, whichever node delivers them. */
@Injectable()
export class Arrivals {
  private readonly waiters = new Map<string, Set<Waiter>>();
  private hastened: () => void = () => {};

  constructor(
    private readonly store: OutboxStore,
    private readonly clock: Clock,
  ) {}

  /** Registers `work` to be called when deliveries have become due. */
  whenHastened(work: () => void): void {
    this.hastened = work;
  }

  /** Waits at most `limitMs` for the events. It also makes those due that wait for their next attempt. */
  async of(subscriber: string, eventIds: readonly string[], limitMs: number): Promise<Arrival> {
    const over = new AbortController();
    let waiter: Waiter | undefined;
    const told = new Promise<Arrival>((resolve) => {
      waiter = { left: new Set(eventIds), resolve };
    });
    for (const id of eventIds) this.waitersOf(subscriber, id).add(waiter!);
    try {
      return await Promise.race([told, this.look(subscriber, eventIds, limitMs, over.signal)]);
    } finally {
      over.abort();
      for (const id of eventIds) this.forget(subscriber, id, waiter!);
    }
  }

  /** Tells those who wait on this node what became of a delivery. */
  tell(subscriber: string, eventId: string, refusal: string | null): void {
    for (const waiter of this.waiters.get(`${subscriber} ${eventId}`) ?? []) {
      waiter.left.delete(eventId);
      if (refusal !== null) waiter.resolve({ refusal });
      else if (waiter.left.size === 0) waiter.resolve('arrived');
    }
  }

  /** Makes everything due that waits for its next attempt at a subscriber, which can be reached again. */
  async hasten(subscriber: string): Promise<void> {
    await this.store.hasten(subscriber, null, this.clock.now());
    this.hastened();
  }

  private async look(
    subscriber: string,
    eventIds: readonly string[],
    limitMs: number,
    signal: AbortSignal,
  ): Promise<Arrival> {
    const deadline = performance.now() + limitMs;
    for (let nth = 0; ; nth += 1) {
      const left = deadline - performance.now();
      const pause = nth === 0 ? FIRST_LOOK_MS : NEXT_LOOK_MS;
      // Aborted when the lane has told, and then nobody waits for this any more.
      await sleep(Math.max(0, Math.min(pause, left)), undefined, { signal }).catch(() => {});
      if (signal.aborted || left <= 0) return 'late';
      const outcome = await this.lookOnce(subscriber, eventIds, nth === 0);
      if (outcome !== 'late') return outcome;
    }
  }

  private async lookOnce(
    subscriber: string,
    eventIds: readonly string[],
    isFirst: boolean,
  ): Promise<Arrival> {
    // During an outage of the database, what was committed is on its way all the same.
    try {
      const unsettled = await this.store.findUnsettled(subscriber, eventIds);
      const refused = unsettled.find(({ state }) => state === 'buried');
      if (refused !== undefined) return { refusal: refused.lastError ?? '' };
      if (unsettled.length === 0) return 'arrived';
      if (isFirst && (await this.store.hasten(subscriber, eventIds, this.clock.now()))) this.hastened();
    } catch {
      return 'late';
    }
    return 'late';
  }

  private waitersOf(subscriber: string, eventId: string): Set<Waiter> {
    const key = `${subscriber} ${eventId}`;
    const known = this.waiters.get(key) ?? new Set();
    this.waiters.set(key, known);
    return known;
  }

  private forget(subscriber: string, eventId: string, waiter: Waiter): void {
    const key = `${subscriber} ${eventId}`;
    const known = this.waiters.get(key);
    known?.delete(waiter);
    if (known?.size === 0) this.waiters.delete(key);
  }
}
