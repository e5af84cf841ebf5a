import { DatabaseError } from 'pg';
import { causesOf, isUnavailable, Unavailable } from '../system/outage.js';
import { NoTracing, type Span, type Tracing } from '../system/tracing.js';
import { type Connections, MOST_WAITING, PATIENCE_MS } from './connections.js';
import { Turns } from './turns.js';

/** What became of one item: its result, with work that its caller still waits for, or why it was refused. */
export type Outcome<Result> =
  | { readonly result: Result; readonly afterwards?: Promise<unknown> | undefined }
  | { readonly refusal: unknown };

/** Work that serves many items with one statement or one transaction. */
export interface Kind<Item, Result> {
  /** Its name in metrics. */
  readonly name: string;
  /** The most items in one call. */
  readonly limit: number;
  /** Items with the same key never share a call, because the second must see what the first has done. */
  keyOf?(item: Item): string;
  /** The user by whom items are kept apart where users do not share calls; see `DATABASE_SHARED_BY`. */
  userOf(item: Item): string;
  /**
   * Returns one outcome for each item, in their order.
   * @param isShared whether others wait for this call: work that would take long must then fail with
   *   {@link TookTooLong}, or with PostgreSQL's `lock_not_available`
   */
  serve(items: readonly Item[], isShared: boolean): Promise<readonly Outcome<Result>[]>;
}

/** The events of shared work that are counted. */
export type WorkEvent = 'calls' | 'items' | 'alone' | 'refused';

/** The work took longer than other items may be kept waiting. */
export class TookTooLong extends Error {}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly since: number;
  readonly span: Span;
  readonly resolve: (result: Result | Promise<Result>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Serves concurrent items together. Items that arrive in one turn of the event loop, or while the calls allowed at
 * once are running, go with the next call. There is no timer: an item that comes alone does not wait.
 *
 * If a shared call fails, each of its items is tried again by itself, so that none fails because of another. An item
 * that would have to wait long is tried one last time outside the shared calls, where it may wait. If the connection
 * to the database was lost, nothing is tried again. An item that waits longer than {@link PATIENCE_MS}, or finds
 * {@link MOST_WAITING} waiting, is refused with {@link Unavailable}.
 */
export class SharedWork<Item, Result> {
  private queue: Waiting<Item, Result>[] = [];
  private underWay = 0;
  private isScheduled = false;
  private timer: NodeJS.Timeout | undefined;
  /** The users whose items are being served, where users do not share calls: their next items wait. */
  private readonly served = new Set<string>();
  /** The items of this kind that are tried a last time. */
  private readonly patient: Turns;

  constructor(
    private readonly kind: Kind<Item, Result>,
    private readonly connections: Connections,
    private readonly count: (what: WorkEvent, by: number) => void = () => {},
    private readonly tracing: Tracing = new NoTracing(),
  ) {
    this.patient = new Turns({
      atOnce: connections.patientOfAKind,
      waiting: MOST_WAITING,
      waitMs: PATIENCE_MS,
    });
  }

  /** How many items wait for a call. */
  get waiting(): number {
    return this.queue.length;
  }

  /** Serves the item together with others; resolves with its result. */
  together(item: Item): Promise<Result> {
    if (this.queue.length + this.patient.waiting >= MOST_WAITING) {
      this.count('refused', 1);
      return Promise.reject(new Unavailable('Too many requests wait for the database'));
    }
    return this.tracing.span(
      this.kind.name,
      {},
      (span) =>
        new Promise((resolve, reject) => {
          this.queue.push({ item, since: performance.now(), span, resolve, reject });
          this.schedule();
        }),
    );
  }

  /** Serves the item by itself, and waits for locks as long as it must. */
  async alone(item: Item): Promise<Result> {
    const [outcome] = await this.kind.serve([item], false);
    if ('refusal' in outcome!) throw outcome.refusal;
    await outcome!.afterwards;
    return outcome!.result;
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      while (this.underWay < this.connections.sharedAtOnce) {
        const call = this.nextCall();
        if (call.length === 0) break;
        void this.run(call);
      }
      if (this.queue.length > 0) this.watch();
    });
  }

  /**
   * Takes the first waiting items, except those whose key is already among them. This is the one place that decides
   * whose items share a call: those of all users or, on a distributed database, those of one user.
   */
  private nextCall(): Waiting<Item, Result>[] {
    const { kind, queue } = this;
    const { isByUser } = this.connections;
    if (kind.keyOf === undefined && !isByUser) return queue.splice(0, kind.limit);
    const first = isByUser ? queue.find(({ item }) => !this.served.has(kind.userOf(item))) : queue[0];
    if (first === undefined) return [];
    const user = kind.userOf(first.item);
    const keys = new Set<string>();
    const call: Waiting<Item, Result>[] = [];
    const left: Waiting<Item, Result>[] = [];
    for (const waiting of queue) {
      const key = kind.keyOf?.(waiting.item);
      const isOwn = !isByUser || kind.userOf(waiting.item) === user;
      const isNext = isOwn && call.length < kind.limit && (key === undefined || !keys.has(key));
      if (key !== undefined) keys.add(key);
      (isNext ? call : left).push(waiting);
    }
    this.queue = left;
    return call;
  }

  private async run(call: readonly Waiting<Item, Result>[]): Promise<void> {
    const user = this.kind.userOf(call[0]!.item);
    this.underWay += 1;
    if (this.connections.isByUser) this.served.add(user);
    let left = await this.tryTogether(call);
    if (call.length > 1) left = await this.tryEach(left);
    this.underWay -= 1;
    this.served.delete(user);
    if (this.queue.length > 0) this.schedule();
    for (const waiting of left)
      this.patient
        .take(() =>
          this.connections.patient.take(() => this.joined([waiting], () => this.alone(waiting.item))),
        )
        .then(waiting.resolve, waiting.reject);
  }

  /** Returns the items that must be tried again. */
  private async tryTogether(call: readonly Waiting<Item, Result>[]): Promise<Waiting<Item, Result>[]> {
    this.count('calls', 1);
    this.count('items', call.length);
    try {
      const items = call.map(({ item }) => item);
      const outcomes = await this.joined(call, () => this.kind.serve(items, true));
      return call.filter(({ resolve }, at) => {
        const outcome = outcomes[at]!;
        if ('refusal' in outcome) return true;
        const { result, afterwards } = outcome;
        // The call itself does not wait: others would wait with it.
        resolve(afterwards === undefined ? result : afterwards.then(() => result));
        return false;
      });
    } catch (error) {
      const isOwn = call.length === 1 && !tookTooLong(error);
      if (!isOwn && (!isUnavailable(error) || isAnswered(error))) return [...call];
      for (const { reject } of call) reject(error);
      return [];
    }
  }

  private joined<Served>(
    call: readonly Waiting<Item, Result>[],
    work: () => Promise<Served>,
  ): Promise<Served> {
    return this.tracing.join(call, ({ item }) => this.kind.userOf(item), work);
  }

  private async tryEach(call: readonly Waiting<Item, Result>[]): Promise<Waiting<Item, Result>[]> {
    this.count('alone', call.length);
    const left: Waiting<Item, Result>[] = [];
    const { retriesAtOnce } = this.connections;
    for (let at = 0; at < call.length; at += retriesAtOnce) {
      const few = call.slice(at, at + retriesAtOnce);
      left.push(...(await Promise.all(few.map((waiting) => this.tryTogether([waiting])))).flat());
    }
    return left;
  }

  /**
   * Refuses items that have waited too long. A timer does this, because nothing takes them while every call hangs.
   */
  private watch(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      const late = this.queue.filter(isLate);
      this.queue = this.queue.filter((waiting) => !isLate(waiting));
      this.count('refused', late.length);
      for (const { reject } of late)
        reject(new Unavailable('The database is too slow for all who wait for it'));
      if (this.queue.length > 0) this.watch();
    }, PATIENCE_MS / 10).unref();
  }
}

function isLate({ since }: { readonly since: number }): boolean {
  return performance.now() - since > PATIENCE_MS;
}

/** Connections that failed, and too little memory for a statement. */
const OF_SOME = /^(?:08...|53200)$/;

/**
 * Whether the database itself reported on a living connection that something is unavailable. Then only some of its
 * servers may be down, as in a distributed database, or one statement may have needed too much.
 */
function isAnswered(error: unknown): boolean {
  return [...causesOf(error)].some((one) => one instanceof DatabaseError && OF_SOME.test(String(one.code)));
}

function tookTooLong(error: unknown): boolean {
  return [...causesOf(error)].some((one) => one instanceof TookTooLong || one.code === '55P03');
}
