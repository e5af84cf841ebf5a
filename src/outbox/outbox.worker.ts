import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Metrics } from '../metrics/metrics.js';
import { Clock } from '../system/clock.js';
import { Entropy } from '../system/entropy.js';
import { type LeasedDelivery, OutboxStore } from './outbox.store.js';
import { type Subscriber, Subscribers } from './subscribers.js';

/** Deliveries of one subscriber that are under way at the same time. */
const AT_ONCE = 16;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60 * 60 * 1_000;
const HOUSEKEEPING_MS = 60_000;
const ERROR_LENGTH = 500;
/** Counting goes no further: who reads metrics must not wait for millions of rows. */
const MOST_COUNTED = 10_000;

/**
 * Delivers what subscribers are owed. It starts with the commit of an event on this node, and looks every
 * `EVENT_POLL_INTERVAL` for what other nodes left, or what is due again.
 */
@Injectable()
export class OutboxWorker implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(OutboxWorker.name);
  /** Events that somebody wants to hear of. */
  private wanted: ReadonlySet<string> = new Set();
  private readonly lanes = new Map<string, Promise<void>>();
  private readonly kicked = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private keptHouseAt = 0;
  private readonly stopping = new AbortController();

  constructor(
    private readonly store: OutboxStore,
    private readonly subscribers: Subscribers,
    private readonly environment: Environment,
    private readonly clock: Clock,
    private readonly entropy: Entropy,
    private readonly metrics: Metrics,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    for (const state of ['pending', 'buried'] as const) {
      const help = `Deliveries that are ${state}; ${MOST_COUNTED} at the most.`;
      this.metrics.gauge(`session_event_deliveries_${state}`, help, () =>
        this.store.count(state, MOST_COUNTED),
      );
    }
    await this.keepHouse();
    this.timer = setInterval(() => void this.poll(), this.environment.eventPollIntervalMs).unref();
    this.kick();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort(new Error('The service is stopping'));
    await Promise.all(this.lanes.values());
  }

  isWanted(event: string): boolean {
    return this.wanted.has(event);
  }

  /** Looks now whether something is due. */
  kick(): void {
    for (const subscriber of this.subscribers.all()) this.kickOne(subscriber);
  }

  /** Resolves when everything that is due has been tried. */
  async drain(): Promise<void> {
    this.kick();
    while (this.lanes.size > 0) await Promise.all(this.lanes.values());
  }

  /** What the timer does. It never rejects: what fails is tried again the next time. */
  async poll(): Promise<void> {
    try {
      await this.keepHouse();
    } catch (error) {
      this.logger.warn(`The outbox could not be looked at: ${String(error)}`);
    }
    this.kick();
  }

  private async keepHouse(): Promise<void> {
    const now = this.clock.now();
    if (now.getTime() - this.keptHouseAt >= HOUSEKEEPING_MS) {
      for (const { name, events } of this.subscribers.all()) await this.store.subscribe(name, events, now);
      await this.store.forget(new Date(now.getTime() - this.environment.eventRetentionMs), now);
      this.keptHouseAt = now.getTime();
    }
    this.wanted = await this.store.wanted();
  }

  private kickOne(subscriber: Subscriber): void {
    const { name } = subscriber;
    if (this.stopping.signal.aborted) return;
    this.kicked.add(name);
    if (this.lanes.has(name)) return;
    this.lanes.set(
      name,
      this.work(subscriber).finally(() => this.lanes.delete(name)),
    );
  }

  private async work(subscriber: Subscriber): Promise<void> {
    try {
      while (!this.stopping.signal.aborted) {
        this.kicked.delete(subscriber.name);
        const leased = await this.lease(subscriber);
        await Promise.all(leased.map((delivery) => this.deliver(subscriber, delivery)));
        // Whoever kicked meanwhile may have committed after we looked.
        if (leased.length === 0 && !this.kicked.has(subscriber.name)) return;
      }
    } catch (error) {
      this.logger.warn(`Events for ${subscriber.name} wait: ${String(error)}`);
    }
  }

  private lease({ name }: Subscriber): Promise<LeasedDelivery[]> {
    const now = this.clock.now();
    // Longer than a delivery may take: whoever takes it over finds its holder dead.
    const until = new Date(now.getTime() + 2 * this.environment.eventDeliveryTimeoutMs + 10_000);
    return this.store.lease(name, {
      now,
      limit: AT_ONCE,
      lease: this.entropy.bytes(12).toString('base64url'),
      until,
    });
  }

  private async deliver(subscriber: Subscriber, delivery: LeasedDelivery): Promise<void> {
    const { attempts: attempt, ...message } = delivery;
    try {
      await inTime(this.environment.eventDeliveryTimeoutMs, this.stopping.signal, (signal) =>
        subscriber.deliver({ ...message, attempt }, signal),
      );
    } catch (error) {
      return this.failed(delivery, reasonOf(error).slice(0, ERROR_LENGTH));
    }
    this.metrics.count('session_event_deliveries_total', {
      subscriber: subscriber.name,
      outcome: 'delivered',
    });
    await this.store.settle(delivery, 'delivered', this.clock.now(), null);
  }

  private async failed(delivery: LeasedDelivery, error: string): Promise<void> {
    const { attempts, subscriber, eventId } = delivery;
    const now = this.clock.now();
    if (attempts >= this.environment.eventMaxAttempts) {
      this.logger.error(`Event ${eventId} for ${subscriber} is buried after ${attempts} attempts: ${error}`);
      this.metrics.count('session_event_deliveries_total', { subscriber, outcome: 'buried' });
      return this.store.settle(delivery, 'buried', now, error);
    }
    this.metrics.count('session_event_deliveries_total', { subscriber, outcome: 'failed' });
    await this.store.postpone(delivery, new Date(now.getTime() + pauseAfter(attempts)), error);
  }
}

/** What went wrong, and what caused it: `fetch` itself says no more than that it failed. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${String(error)}${cause}`;
}

/** Twice as long after each attempt, and never quite the same, so that those who failed together do not come together. */
function pauseAfter(attempts: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempts - 1)) * (0.5 + Math.random() / 2);
}

/** Rejects when the work takes too long, or the service stops, whether or not the work listens to its signal. */
async function inTime(
  limitMs: number,
  stopping: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const signal = AbortSignal.any([AbortSignal.timeout(limitMs), stopping]);
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  await Promise.race([work(signal), aborted]);
}
