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
import { Lane } from './lane.js';
import { OutboxStore } from './outbox.store.js';
import { Subscribers } from './subscribers.js';

const HOUSEKEEPING_MS = 60_000;
/** What a node of an older version heard of is owed to its subscriber until no such node has been seen for so long. */
const SUBSCRIPTION_LAPSES_AFTER_MS = 5 * HOUSEKEEPING_MS;

/**
 * Delivers what subscribers are owed. It starts with the commit of an event on this node, and looks every
 * `EVENT_POLL_INTERVAL` for what other nodes left, or what is due again.
 */
@Injectable()
export class OutboxWorker implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(OutboxWorker.name);
  /** Events that somebody wants to hear of. */
  private wanted: ReadonlySet<string> = new Set();
  private lanes: readonly Lane[] = [];
  private timer: NodeJS.Timeout | undefined;
  private polling: Promise<void> | undefined;
  private keptHouseAt = 0;

  constructor(
    private readonly store: OutboxStore,
    private readonly subscribers: Subscribers,
    private readonly environment: Environment,
    private readonly clock: Clock,
    private readonly entropy: Entropy,
    private readonly metrics: Metrics,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { store, environment, clock, entropy, metrics } = this;
    for (const state of ['pending', 'buried'] as const)
      metrics.gauge(
        `session_event_deliveries_${state}`,
        `Deliveries that are ${state}; 10000 at the most.`,
        () => store.count(state),
      );
    this.lanes = this.subscribers
      .all()
      .map((subscriber) => new Lane(subscriber, { store, environment, clock, entropy, metrics }));
    await this.subscribe();
    this.timer = setInterval(() => void this.poll(), environment.eventPollIntervalMs).unref();
    this.kick();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all([this.polling, ...this.lanes.map((lane) => lane.stop())]);
  }

  isWanted(event: string): boolean {
    return this.wanted.has(event);
  }

  /** Looks now whether something is due, of these events, or of any. */
  kick(events?: ReadonlySet<string>): void {
    for (const lane of this.lanes)
      if (events === undefined || lane.events.some((event) => events.has(event))) lane.kick();
  }

  /** Resolves when nothing is due any more; where events keep coming, it goes on. */
  async drain(): Promise<void> {
    this.kick();
    await Promise.all(this.lanes.map((lane) => lane.idle()));
  }

  /** Has what is due longest tried once, however much comes meanwhile. */
  async pass(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.pass()));
  }

  /** What the timer does. It never rejects: what fails is tried again the next time. */
  poll(): Promise<void> {
    this.polling ??= this.lookAround().finally(() => (this.polling = undefined));
    return this.polling;
  }

  private async lookAround(): Promise<void> {
    this.kick();
    try {
      await this.keepHouse();
    } catch (error) {
      this.logger.warn(`The outbox could not be looked at: ${String(error)}`);
    }
  }

  private async keepHouse(): Promise<void> {
    const now = this.clock.now();
    const { eventRetentionMs, eventBuriedRetentionMs } = this.environment;
    const ago = (ms: number) => new Date(now.getTime() - ms);
    if (now.getTime() - this.keptHouseAt < HOUSEKEEPING_MS) {
      this.wanted = await this.store.wanted();
      return;
    }
    await this.subscribe();
    await this.store.forgetSubscribers(ago(eventRetentionMs));
    await this.store.buryUnwanted(now);
    await this.store.purgeDelivered(ago(eventRetentionMs));
    await this.store.purgeBuried(ago(eventBuriedRetentionMs));
    this.keptHouseAt = now.getTime();
  }

  private async subscribe(): Promise<void> {
    const now = this.clock.now();
    const lapsed = new Date(now.getTime() - SUBSCRIPTION_LAPSES_AFTER_MS);
    for (const subscriber of this.subscribers.all()) await this.store.subscribe(subscriber, now, lapsed);
    this.wanted = await this.store.wanted();
  }
}
