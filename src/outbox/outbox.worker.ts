import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Housekeeping } from '../database/housekeeping.js';
import { Clock } from '../system/clock.js';
import { warnUnlessOutage } from '../system/outage.js';
import { type Lane, LaneMaker } from './lane.js';
import { OutboxStore, type Place } from './outbox.store.js';
import { Subscribers } from './subscribers.js';

/** How often a node renews its subscriptions and deletes old deliveries. */
const HOUSEKEEPING_MS = 60_000;
/** A subscription that only nodes of another version have ends when none of them has been seen for this long. */
const SUBSCRIPTION_LAPSES_AFTER_MS = 5 * HOUSEKEEPING_MS;
/** How often to look for deliveries without a subscription, besides whenever a subscription has ended. */
const SWEEP_MS = 60 * HOUSEKEEPING_MS;
const BATCH = 5_000;
/** Limit for each kind of work; the rest waits for the next time. */
const MOST_BATCHES = 50;
const START: Place = { userId: '', subscriber: '', position: '0', ordinal: 0 };

/** What the metric calls old deliveries. */
const WHAT = { delivered: 'delivered_events', buried: 'buried_events' } as const;

/**
 * Delivers events to subscribers. It starts with the commit of an event on this node, and every `EVENT_POLL_INTERVAL`
 * it looks for deliveries that other nodes left behind or that are due again.
 */
@Injectable()
export class OutboxWorker implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(OutboxWorker.name);
  /** Names of events that have a subscriber. */
  private wanted: ReadonlySet<string> = new Set();
  private lanes: readonly Lane[] = [];
  private timers: readonly NodeJS.Timeout[] = [];
  private readonly underWay = new Map<string, Promise<void>>();
  private sweptAt = 0;
  private sweptTo = START;
  private isStopping = false;

  constructor(
    private readonly store: OutboxStore,
    private readonly subscribers: Subscribers,
    private readonly laneMaker: LaneMaker,
    private readonly environment: Environment,
    private readonly clock: Clock,
    private readonly housekeeping: Housekeeping,
  ) {
    for (const what of Object.values(WHAT)) housekeeping.count(what, 0);
  }

  async onApplicationBootstrap(): Promise<void> {
    if (!this.environment.background) {
      // What others are subscribed to is recorded here, and delivered there.
      await this.learnWanted();
      this.timers = [setInterval(() => void this.poll(), this.environment.eventPollIntervalMs).unref()];
      return;
    }
    this.laneMaker.arrivals.whenHastened(() => this.kick());
    this.lanes = this.subscribers.all().map((subscriber) => this.laneMaker.make(subscriber));
    if (this.lanes.length > 0)
      this.logger.log(
        `Events go to ${this.subscribers
          .all()
          .map(({ name }) => name)
          .join(', ')}`,
      );
    await this.subscribe();
    this.timers = [
      setInterval(() => void this.poll(), this.environment.eventPollIntervalMs).unref(),
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

  /** Starts a look for due deliveries, of subscribers to these events or of all. */
  kick(events?: ReadonlySet<string>): void {
    for (const lane of this.lanes)
      if (events === undefined || lane.events.some((event) => events.has(event))) lane.kick();
  }

  /** Resolves when nothing is due any more. It keeps running while events keep coming. */
  async drain(): Promise<void> {
    this.kick();
    await Promise.all(this.lanes.map((lane) => lane.idle()));
  }

  /** Tries once to deliver what has been due longest, and ignores what arrives meanwhile. */
  async pass(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.pass()));
  }

  /** Looks for due deliveries and new subscriptions. It never rejects: the next poll is the retry. */
  poll(): Promise<void> {
    this.kick();
    return this.alone('poll', () => this.learnWanted());
  }

  /** Renews this node's subscriptions and deletes old deliveries. It never rejects, either. */
  keepHouse(): Promise<void> {
    return this.alone('housekeeping', async () => {
      const { eventRetentionMs, eventBuriedRetentionMs } = this.environment;
      const now = this.clock.now();
      const ago = (ms: number) => new Date(now.getTime() - ms);
      const ended = (await this.subscribe()) + (await this.store.forgetSubscribers(ago(eventRetentionMs)));
      if (ended > 0) [this.sweptAt, this.sweptTo] = [0, START];
      await this.purge('delivered', ago(eventRetentionMs));
      await this.purge('buried', ago(eventBuriedRetentionMs));
      if (now.getTime() - this.sweptAt >= SWEEP_MS) await this.sweep(now);
    });
  }

  /** Renews this node's subscriptions. Returns how many others ended. */
  private async subscribe(): Promise<number> {
    const now = this.clock.now();
    const lapsed = new Date(now.getTime() - SUBSCRIPTION_LAPSES_AFTER_MS);
    let ended = 0;
    for (const subscriber of this.subscribers.all())
      ended += await this.store.subscribe(subscriber, now, lapsed);
    await this.learnWanted();
    return ended;
  }

  private async learnWanted(): Promise<void> {
    this.wanted = await this.store.wanted();
  }

  private async purge(state: 'delivered' | 'buried', before: Date): Promise<void> {
    for (let nth = 0; nth < MOST_BATCHES && !this.isStopping; nth += 1) {
      const { removed } = await this.store.purges[state](before, BATCH);
      this.housekeeping.count(WHAT[state], removed);
      if (removed < BATCH) return;
    }
  }

  /** Buries deliveries without a subscription. What is left after the last batch is looked at the next time. */
  private async sweep(now: Date): Promise<void> {
    for (let nth = 0; nth < MOST_BATCHES && !this.isStopping; nth += 1) {
      const last = await this.store.buryUnwanted(now, BATCH, this.sweptTo);
      this.sweptTo = last ?? START;
      if (last === null) {
        this.sweptAt = now.getTime();
        return;
      }
    }
  }

  /** Runs one work of a kind at a time. Callers that come meanwhile share it. */
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
