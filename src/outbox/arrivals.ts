import { setTimeout as sleep } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { Clock } from '../system/clock.js';
import { OutboxStore } from './outbox.store.js';

/** How often to look at the database for events that another node delivers; this node's lanes tell at once. */
const LOOK_MS = 200;
/** How many deliveries become due at a time after an outage, so that new events need not queue behind all of them. */
const HASTENED_AT_ONCE = 200;
const BETWEEN_MS = 1_000;

/** What became of events within the time: all arrived, one was refused for good, or some are still on their way. */
export type Arrival = 'arrived' | 'late' | { readonly refusal: string };

interface Waiter {
  readonly subscriber: string;
  /** The events that it has not heard of. */
  readonly left: Set<string>;
  readonly resolve: (arrival: Arrival) => void;
  /** When the deliveries of its users are made due again. */
  hastenAt: number;
}

/** Lets requests wait until a subscriber has received their events, whichever node delivers them. */
@Injectable()
export class Arrivals implements BeforeApplicationShutdown {
  private readonly waiters = new Set<Waiter>();
  private readonly byEvent = new Map<string, Waiter[]>();
  private isLooking = false;
  private isStopping = false;
  private hastened: () => void = () => {};

  constructor(
    private readonly store: OutboxStore,
    private readonly clock: Clock,
  ) {}

  beforeApplicationShutdown(): void {
    this.isStopping = true;
  }

  /** Registers `work` to be called when deliveries have become due. */
  whenHastened(work: () => void): void {
    this.hastened = work;
  }

  /** Waits at most `limitMs` for the events. It also makes those due that wait for their next attempt. */
  async of(subscriber: string, eventIds: readonly string[], limitMs: number): Promise<Arrival> {
    let timer: NodeJS.Timeout | undefined;
    let waiter: Waiter | undefined;
    try {
      return await new Promise((resolve) => {
        waiter = { subscriber, left: new Set(eventIds), resolve, hastenAt: 0 };
        this.waiters.add(waiter);
        for (const id of eventIds) this.byEvent.set(id, [...(this.byEvent.get(id) ?? []), waiter]);
        timer = setTimeout(resolve, limitMs, 'late');
        void this.look();
      });
    } finally {
      clearTimeout(timer);
      if (waiter !== undefined) this.waiters.delete(waiter);
      for (const id of eventIds) this.forget(id, waiter);
    }
  }

  /** Tells whoever waits on this node what became of a delivery. */
  tell(subscriber: string, eventId: string, refusal: string | null): void {
    for (const waiter of this.byEvent.get(eventId) ?? []) {
      if (waiter.subscriber !== subscriber) continue;
      waiter.left.delete(eventId);
      if (refusal !== null) waiter.resolve({ refusal });
      else if (waiter.left.size === 0) waiter.resolve('arrived');
    }
  }

  /** Makes everything due that waits for its next attempt at a subscriber, which can be reached again. */
  async hasten(subscriber: string): Promise<void> {
    while (!this.isStopping) {
      const made = await this.store.hastenSome(subscriber, HASTENED_AT_ONCE, this.clock.now());
      if (made > 0) this.hastened();
      if (made < HASTENED_AT_ONCE) return;
      await sleep(BETWEEN_MS);
    }
  }

  private forget(eventId: string, waiter: Waiter | undefined): void {
    const others = (this.byEvent.get(eventId) ?? []).filter((one) => one !== waiter);
    if (others.length === 0) this.byEvent.delete(eventId);
    else this.byEvent.set(eventId, others);
  }

  /** Looks for all who wait, with one statement for each subscriber, as long as anybody waits. */
  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    for (;;) {
      await sleep(LOOK_MS);
      if (this.waiters.size === 0 || this.isStopping) break;
      for (const subscriber of new Set([...this.waiters].map((waiter) => waiter.subscriber))) {
        const own = [...this.waiters].filter((waiter) => waiter.subscriber === subscriber);
        // During an outage of the database, what was committed is on its way all the same.
        await this.lookFor(subscriber, own).catch(() => {});
      }
    }
    this.isLooking = false;
  }

  private async lookFor(subscriber: string, waiters: readonly Waiter[]): Promise<void> {
    const asked = waiters.map((waiter) => ({ waiter, eventIds: [...waiter.left] }));
    const ids = asked.flatMap(({ eventIds }) => eventIds);
    const unsettled = new Map(
      (await this.store.findUnsettled(subscriber, ids)).map((one) => [one.eventId, one]),
    );
    for (const { waiter, eventIds } of asked) {
      const left = eventIds.flatMap((id) => unsettled.get(id) ?? []);
      const refused = left.find(({ state }) => state === 'buried');
      if (refused !== undefined) waiter.resolve({ refusal: refused.lastError ?? '' });
      else if (left.length === 0) waiter.resolve('arrived');
    }
    const now = performance.now();
    await this.hastenFor(
      subscriber,
      waiters.filter(({ hastenAt }) => hastenAt <= now),
    );
  }

  /** Not at every look, so that a request that waits for long does not cause an attempt each time. */
  private async hastenFor(subscriber: string, waiters: readonly Waiter[]): Promise<void> {
    for (const waiter of waiters) waiter.hastenAt = performance.now() + BETWEEN_MS;
    const ids = waiters.flatMap(({ left }) => [...left]);
    if (ids.length > 0 && (await this.store.hasten(subscriber, ids, this.clock.now()))) this.hastened();
  }
}
