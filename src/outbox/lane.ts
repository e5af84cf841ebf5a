import { Logger } from '@nestjs/common';
import type { Environment } from '../config/environment.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Clock } from '../system/clock.js';
import type { Entropy } from '../system/entropy.js';
import { warnUnlessOutage } from '../system/outage.js';
import type { LeasedDelivery, OutboxStore } from './outbox.store.js';
import type { Subscriber } from './subscribers.js';

/** Deliveries of one subscriber that are under way at the same time. */
const AT_ONCE = 16;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60 * 60 * 1_000;
/** What it may take to write down how a delivery went. */
const SETTLING_MS = 5_000;
const ERROR_LENGTH = 500;

/** What a lane works with. */
export interface LaneParts {
  readonly store: OutboxStore;
  readonly environment: Environment;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly metrics: Metrics;
}

/**
 * Delivers what one subscriber is owed, to {@link AT_ONCE} users at a time. A delivery that hangs holds up its own
 * user, and others only where so many hang at once.
 */
export class Lane {
  private readonly logger = new Logger(Lane.name);
  private readonly underWay = new Map<Promise<void>, AbortController>();
  private look: Promise<void> | undefined;
  /** Something may be due that was not looked at. */
  private isDue = false;
  private isStopped = false;
  /** Whether the latest attempt failed: the log says when that begins, and when it is over. */
  private isFailing = false;

  constructor(
    private readonly subscriber: Subscriber,
    private readonly parts: LaneParts,
  ) {}

  get events(): readonly string[] {
    return this.subscriber.events;
  }

  /** Looks now whether something is due. */
  kick(): void {
    this.isDue = true;
    this.look ??= Promise.resolve().then(() => this.lookOut());
  }

  /** Resolves when nothing is under way and nothing is due. */
  async idle(): Promise<void> {
    while (this.look !== undefined || this.underWay.size > 0)
      await Promise.all([this.look, ...this.underWay.keys()]);
  }

  /** Resolves when what is due has been tried, as far as one lease goes, however much comes meanwhile. */
  async pass(): Promise<void> {
    this.kick();
    await this.look;
    await Promise.all(this.underWay.keys());
  }

  /** Breaks off what is under way and gives it back, and resolves when that is done. */
  async stop(): Promise<void> {
    this.isStopped = true;
    for (const delivery of this.underWay.values()) delivery.abort(new Error('The service is stopping'));
    await this.idle();
  }

  private async lookOut(): Promise<void> {
    try {
      while (this.isDue && !this.isStopped && this.underWay.size < AT_ONCE) {
        this.isDue = false;
        const { leased, until } = await this.lease(AT_ONCE - this.underWay.size);
        this.isDue ||= leased.length > 0;
        // The lease counts from before the wait for a connection: what is left of it must be enough for a delivery,
        // and the service may have been told to stop meanwhile.
        if (
          this.isStopped ||
          until.getTime() - this.parts.clock.now().getTime() <
            this.parts.environment.eventDeliveryTimeoutMs + SETTLING_MS
        )
          await this.giveBack(leased);
        else for (const delivery of leased) this.begin(delivery);
      }
    } catch (error) {
      warnUnlessOutage(this.logger, `Events for ${this.subscriber.name} wait`, error);
    }
    this.look = undefined;
  }

  private async lease(limit: number): Promise<{ leased: LeasedDelivery[]; until: Date }> {
    const { store, clock, entropy, environment } = this.parts;
    const now = clock.now();
    // Longer than a delivery may take: whoever takes it over finds its holder dead.
    const until = new Date(now.getTime() + 2 * (environment.eventDeliveryTimeoutMs + SETTLING_MS));
    const lease = entropy.bytes(12).toString('base64url');
    return { leased: await store.lease(this.subscriber, { now, limit, lease, until }), until };
  }

  private async giveBack(deliveries: readonly LeasedDelivery[]): Promise<void> {
    const now = this.parts.clock.now();
    for (const delivery of deliveries) await this.parts.store.giveBack(delivery, now);
  }

  private begin(delivery: LeasedDelivery): void {
    const abort = new AbortController();
    const work = this.deliver(delivery, abort)
      // The lease ends by itself, and somebody tries again.
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

  private async deliver(delivery: LeasedDelivery, abort: AbortController): Promise<void> {
    const { store, clock, environment } = this.parts;
    const { attempts: attempt, ...message } = delivery;
    // Who leased it last is dead, perhaps of it.
    if (attempt > environment.eventMaxAttempts)
      return this.bury(delivery, 'The process ended during the last attempt');
    try {
      await inTime(environment.eventDeliveryTimeoutMs, abort, () =>
        this.subscriber.deliver({ ...message, attempt }, abort.signal),
      );
    } catch (error) {
      if (this.isStopped) return this.giveBack([delivery]);
      return this.failed(delivery, reasonOf(error).slice(0, ERROR_LENGTH));
    }
    if (this.isFailing) this.logger.log(`Events arrive at ${this.subscriber.name} again`);
    this.isFailing = false;
    if (await store.settle(delivery, 'delivered', clock.now(), null)) this.count('delivered');
  }

  private async failed(delivery: LeasedDelivery, error: string): Promise<void> {
    const { store, clock, environment } = this.parts;
    if (!this.isFailing)
      this.logger.warn(`Events do not arrive at ${this.subscriber.name}, and are tried again: ${error}`);
    this.isFailing = true;
    if (delivery.attempts >= environment.eventMaxAttempts) return this.bury(delivery, error);
    await store.postpone(delivery, new Date(clock.now().getTime() + pauseAfter(delivery.attempts)), error);
    this.count('failed');
  }

  private async bury(delivery: LeasedDelivery, error: string): Promise<void> {
    const { eventId, subscriber } = delivery;
    const { environment, store, clock } = this.parts;
    this.logger.error(
      `Event ${eventId} for ${subscriber} is buried after ${environment.eventMaxAttempts} attempts: ${error}`,
    );
    if (await store.settle(delivery, 'buried', clock.now(), error)) this.count('buried');
  }

  private count(outcome: string): void {
    this.parts.metrics.count('session_event_deliveries_total', { subscriber: this.subscriber.name, outcome });
  }
}

/** What went wrong, and what caused it: `fetch` itself says no more than that it failed. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${String(error)}${cause}`;
}

/**
 * Twice as long after each attempt, and never quite the same, so that those who failed together do not come
 * together.
 */
function pauseAfter(attempts: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempts - 1)) * (0.5 + Math.random() / 2);
}

/** Rejects when the work takes too long, or is broken off, whether or not it listens to its signal. */
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
