import { Injectable, Logger } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Clock } from '../system/clock.js';
import type { Span } from '../system/tracing.js';
import { warnUnlessOutage } from '../system/outage.js';
import { type LeasedDelivery, OutboxStore } from './outbox.store.js';
import { Arrivals } from './arrivals.js';
import { DeliveryWatch } from './delivery-watch.js';
import { type DeliveryTerms, type Subscriber, Undeliverable } from './subscribers.js';

/** How many deliveries to one subscriber may run at the same time, unless its terms say otherwise. */
const AT_ONCE = 16;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60 * 60 * 1_000;
/** Time allowed for storing the outcome of a delivery. */
const SETTLING_MS = 5_000;
const ERROR_LENGTH = 500;

/** Makes the lane of each subscriber, and is what all of them need. */
@Injectable()
export class LaneMaker {
  constructor(
    readonly store: OutboxStore,
    private readonly environment: Environment,
    readonly clock: Clock,
    readonly arrivals: Arrivals,
    readonly watch: DeliveryWatch,
  ) {}

  make(subscriber: Subscriber): Lane {
    const { eventDeliveryTimeoutMs: timeoutMs, eventMaxAttempts: maxAttempts } = this.environment;
    for (const outcome of ['delivered', 'failed', 'buried'] as const)
      this.watch.count(subscriber.name, outcome, 0);
    const usual = { atOnce: AT_ONCE, timeoutMs, longestPauseMs: LONGEST_PAUSE_MS, maxAttempts };
    return new Lane(subscriber, subscriber.terms ?? usual, this);
  }
}

/**
 * Delivers the events of one subscriber, for a limited number of users at a time. A delivery that hangs blocks
 * its own user; other users are blocked only if that many hang at once.
 */
export class Lane {
  private readonly logger = new Logger(Lane.name);
  private readonly underWay = new Map<Promise<void>, AbortController>();
  private look: Promise<void> | undefined;
  /** Something may be due since the last look. */
  private isDue = false;
  private isStopped = false;
  /** Whether the latest attempt failed, so that the log says only when failures begin and end. */
  private isFailing = false;

  constructor(
    private readonly subscriber: Subscriber,
    private readonly terms: DeliveryTerms,
    private readonly parts: LaneMaker,
  ) {}

  get events(): readonly string[] {
    return this.subscriber.events;
  }

  /** Starts a look for due deliveries, unless one is running. */
  kick(): void {
    this.isDue = true;
    this.look ??= this.parts.watch.apart(() => Promise.resolve().then(() => this.lookOut()));
  }

  /** Resolves when nothing is running and nothing is due. */
  async idle(): Promise<void> {
    while (this.look !== undefined || this.underWay.size > 0)
      await Promise.all([this.look, ...this.underWay.keys()]);
  }

  /** Resolves when due deliveries, as many as may run at once, have been tried. Ignores what arrives meanwhile. */
  async pass(): Promise<void> {
    this.kick();
    await this.look;
    await Promise.all(this.underWay.keys());
  }

  /** Aborts running deliveries and gives them back; resolves when that is done. */
  async stop(): Promise<void> {
    this.isStopped = true;
    for (const delivery of this.underWay.values()) delivery.abort(new Error('The service is stopping'));
    await this.idle();
  }

  private async lookOut(): Promise<void> {
    try {
      const { atOnce, timeoutMs } = this.terms;
      while (this.isDue && !this.isStopped && this.underWay.size < atOnce) {
        this.isDue = false;
        const { leased, until } = await this.lease(atOnce - this.underWay.size);
        this.isDue ||= leased.length > 0;
        // The lease began before the wait for a connection, so the rest of it must be long enough for a delivery. The
        // service may also have begun to stop meanwhile.
        if (this.isStopped || until.getTime() - this.parts.clock.now().getTime() < timeoutMs + SETTLING_MS)
          await this.giveBack(leased);
        else for (const delivery of leased) this.begin(delivery);
      }
    } catch (error) {
      warnUnlessOutage(this.logger, `Events for ${this.subscriber.name} wait`, error);
    }
    this.look = undefined;
  }

  private async lease(limit: number): Promise<{ leased: LeasedDelivery[]; until: Date }> {
    const { store, clock } = this.parts;
    const now = clock.now();
    // Longer than a delivery may take, and the wait for a connection before it: if another process takes it over, its
    // holder is dead.
    const until = new Date(now.getTime() + this.terms.timeoutMs + 2 * SETTLING_MS);
    return { leased: await store.lease(this.subscriber, { now, limit, until }), until };
  }

  private async giveBack(deliveries: readonly LeasedDelivery[]): Promise<void> {
    const now = this.parts.clock.now();
    for (const delivery of deliveries) await this.parts.store.giveBack(delivery, now);
  }

  private begin(delivery: LeasedDelivery): void {
    const abort = new AbortController();
    const work = this.parts.watch
      .trace(delivery, (span) => this.deliver(delivery, abort, span))
      // The lease expires, and then some process tries again.
      .catch((error: unknown) =>
        warnUnlessOutage(
          this.logger,
          `Event ${delivery.eventId} for ${delivery.subscriber} is in doubt`,
          error,
        ),
      )
      .finally(() => {
        this.underWay.delete(work);
        this.kick();
      });
    this.underWay.set(work, abort);
  }

  private async deliver(delivery: LeasedDelivery, abort: AbortController, span: Span): Promise<void> {
    const { store, clock, arrivals } = this.parts;
    const { timeoutMs, maxAttempts } = this.terms;
    const { attempts: attempt, ...message } = delivery;
    // The process that leased it last has died, perhaps because of this delivery.
    if (attempt > maxAttempts)
      return this.bury(
        delivery,
        'The process ended during the last attempt',
        `after ${maxAttempts} attempts`,
      );
    try {
      await inTime(timeoutMs, abort, () => this.subscriber.deliver({ ...message, attempt }, abort.signal));
    } catch (error) {
      span.fail(error);
      const isFinal = error instanceof Undeliverable;
      if (this.isStopped && !isFinal) return this.giveBack([delivery]);
      if (isFinal) return this.refused(delivery, error.message.slice(0, ERROR_LENGTH));
      return this.failed(delivery, reasonOf(error).slice(0, ERROR_LENGTH));
    }
    if (this.isFailing) this.logger.log(`Events arrive at ${this.subscriber.name} again`);
    this.isFailing = false;
    arrivals.tell(delivery.subscriber, delivery.eventId, null);
    if (await store.settle(delivery, 'delivered', clock.now(), null)) this.count('delivered');
  }

  private async failed(delivery: LeasedDelivery, error: string): Promise<void> {
    const { store, clock } = this.parts;
    const { maxAttempts, longestPauseMs } = this.terms;
    if (!this.isFailing)
      this.logger.warn(`Events do not arrive at ${this.subscriber.name}, and are tried again: ${error}`);
    this.isFailing = true;
    if (delivery.attempts >= maxAttempts)
      return this.bury(delivery, error, `after ${delivery.attempts} attempts`);
    const pauseMs = pauseAfter(delivery.attempts, longestPauseMs);
    await store.postpone(delivery, new Date(clock.now().getTime() + pauseMs), error);
    this.count('failed');
  }

  private async refused(delivery: LeasedDelivery, reason: string): Promise<void> {
    await this.bury(delivery, reason, 'because it was refused');
    this.parts.arrivals.tell(delivery.subscriber, delivery.eventId, reason);
  }

  private async bury(delivery: LeasedDelivery, error: string, why: string): Promise<void> {
    const { eventId, subscriber } = delivery;
    const { store, clock } = this.parts;
    this.logger.error(`Event ${eventId} for ${subscriber} is buried ${why}: ${error}`);
    if (await store.settle(delivery, 'buried', clock.now(), error)) this.count('buried');
  }

  private count(outcome: 'delivered' | 'failed' | 'buried'): void {
    this.parts.watch.count(this.subscriber.name, outcome);
  }
}

/** The error and its cause: that of `fetch` itself only says that it failed. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${String(error)}${cause}`;
}

/** Doubles after each attempt, with jitter, so that deliveries that failed together are not retried together. */
function pauseAfter(attempts: number, longestMs: number): number {
  return Math.min(longestMs, FIRST_PAUSE_MS * 2 ** (attempts - 1)) * (0.5 + Math.random() / 2);
}

/** Rejects when the work takes too long or is aborted, even if it ignores its signal. */
async function inTime(limitMs: number, abort: AbortController, work: () => Promise<void>): Promise<void> {
  const timer = setTimeout(() => abort.abort(new Error(`No answer within ${limitMs} ms`)), limitMs);
  const aborted = new Promise<never>((_, reject) => {
    abort.signal.addEventListener('abort', () => reject(abort.signal.reason as Error), { once: true });
  });
  try {
    await Promise.race([work(), aborted]);
  } finally {
    clearTimeout(timer);
  }
}
