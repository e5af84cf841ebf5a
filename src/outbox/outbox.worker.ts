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
import { warnUnlessOutage } from '../system/outage.js';
import { Lane } from './lane.js';
import { OutboxStore } from './outbox.store.js';
import { Subscribers } from './subscribers.js';

/** How often a node says that it is there, and removes what is old. */
const HOUSEKEEPING_MS = 60_000;
/** What a node of an older version heard of is owed to its subscriber until no such node has been seen for so long. */
const SUBSCRIPTION_LAPSES_AFTER_MS = 5 * HOUSEKEEPING_MS;
/** What is owed to nobody is looked for when a subscription has ended, and so often in any case. */
const SWEEP_MS = 60 * HOUSEKEEPING_MS;
const BATCH = 5_000;
/** Of each kind of work; what is left waits for the next time. */
const MOST_BATCHES = 50;

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
  private timers: readonly NodeJS.Timeout[] = [];
  private readonly underWay = new Map<string, Promise<void>>();
  private sweptAt = 0;
  private isStopping = false;

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
      metrics.addGauge(
        {
          name: `session_event_deliveries_${state}`,
          help: `Deliveries that are ${state}, by subscriber; 10000 at the most.`,
          labelNames: ['subscriber'],
        },
        async () =>
          (await store.count(state)).map(({ subscriber, count }) => ({
            labels: { subscriber },
            value: count,
          })),
      );
    this.lanes = this.subscribers
      .all()
      .map((subscriber) => new Lane(subscriber, { store, environment, clock, entropy, metrics }));
    if (this.lanes.length > 0)
      this.logger.log(
        `Events go to ${this.subscribers
          .all()
          .map(({ name }) => name)
          .join(', ')}`,
      );
    await this.subscribe();
    this.timers = [
      setInterval(() => void this.poll(), environment.eventPollIntervalMs).unref(),
      setInterval(() => void this.keepHouse(), HOUSEKEEPING_MS).unref(),
    ];
    this.kick();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    for (const timer of this.timers) clearInterval(timer);
    await Promise.all([...this.underWay.values(), ...this.lanes.map((lane) => lane.stop())]);
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

  /** Looks for what is due, and for who is new. It never rejects: what fails is tried again the next time. */
  poll(): Promise<void> {
    this.kick();
    return this.alone('poll', async () => {
      this.wanted = await this.store.wanted();
    });
  }

  /** Says that this node is there, and removes what is old. It never rejects, either. */
  keepHouse(): Promise<void> {
    return this.alone('housekeeping', async () => {
      const { eventRetentionMs, eventBuriedRetentionMs } = this.environment;
      const now = this.clock.now();
      const ago = (ms: number) => new Date(now.getTime() - ms);
      const ended = (await this.subscribe()) + (await this.store.forgetSubscribers(ago(eventRetentionMs)));
      if (ended > 0) this.sweptAt = 0;
      await this.inBatches(() => this.store.purgeDelivered(ago(eventRetentionMs), BATCH));
      await this.inBatches(() => this.store.purgeBuried(ago(eventBuriedRetentionMs), BATCH));
      if (now.getTime() - this.sweptAt < SWEEP_MS) return;
      await this.inBatches(() => this.store.buryUnwanted(now, BATCH));
      this.sweptAt = now.getTime();
    });
  }

  /** Takes this node's subscriptions, and gives how many ended. */
  private async subscribe(): Promise<number> {
    const now = this.clock.now();
    const lapsed = new Date(now.getTime() - SUBSCRIPTION_LAPSES_AFTER_MS);
    let ended = 0;
    for (const subscriber of this.subscribers.all())
      ended += await this.store.subscribe(subscriber, now, lapsed);
    this.wanted = await this.store.wanted();
    return ended;
  }

  private async inBatches(work: () => Promise<number>): Promise<void> {
    for (let nth = 0; nth < MOST_BATCHES && !this.isStopping; nth += 1) if ((await work()) < BATCH) return;
  }

  /** One of a kind at a time: who comes meanwhile shares it. */
  private alone(kind: string, work: () => Promise<void>): Promise<void> {
    const running = this.underWay.get(kind);
    if (running !== undefined) return running;
    const begun = work()
      .catch((error: unknown) => warnUnlessOutage(this.logger, 'The outbox could not be looked at', error))
      .finally(() => this.underWay.delete(kind));
    this.underWay.set(kind, begun);
    return begun;
  }
}
