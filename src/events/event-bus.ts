import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { EventEmitter2, EventEmitterReadinessWatcher } from '@nestjs/event-emitter';
import { Environment } from '../config/environment.js';
import { TookTooLong } from '../database/shared-work.js';
import type { Tx } from '../database/tx.js';
import { ErrorAnswer } from '../matrix/matrix-error.js';
import { causesOf } from '../system/outage.js';
import { EventRecorder } from './event-recorder.port.js';
import { type OriginOf, type Origins, toOriginOf } from './origins.js';
import { listenersAtWork, type Outcome, ranksOf } from './in-transaction.decorator.js';
import type { SessionEvent, SessionEventType } from './session-event.js';

/**
 * Publishes events on Nest's event bus, inside the transaction that makes them true, and records them for subscribers
 * that get them after the commit.
 *
 * @example
 * ```ts
 * class NoteAdded extends SessionEvent {
 *   static override readonly eventName = 'acme.note.added';
 *   constructor(readonly userId: string) {
 *     super();
 *   }
 * }
 * await this.unitOfWork.run((tx) => this.events.publish(tx, new NoteAdded(userId)));
 * ```
 */
@Injectable()
export class EventBus implements OnApplicationBootstrap {
  /** How many listeners each event has; `undefined` until all are attached. */
  private listeners: Map<string, number> | undefined;

  constructor(
    private readonly emitter: EventEmitter2,
    private readonly readiness: EventEmitterReadinessWatcher,
    private readonly recorder: EventRecorder,
    private readonly environment: Environment,
  ) {}

  /** Listeners attach during this phase, in no guaranteed order, so this must wait for them without blocking it. */
  onApplicationBootstrap(): void {
    void this.readiness.waitUntilReady().then(() => {
      const names = this.emitter.eventNames().map(String);
      this.listeners = new Map(names.map((name) => [name, this.emitter.listenerCount(name)]));
    });
  }

  /**
   * Resolves when every listener of the event has done its part in `tx`.
   *
   * The bus itself resolves even when a listener fails, or when nobody listens. So this checks the outcome of each
   * listener, and counts them.
   * @param origins where the requests came from that led to the event, for listeners such as the audit log
   * @throws {ErrorAnswer} of a listener, if the event is refusable
   * @throws {Error} naming the listener that failed first, with its failure as the cause; or those that did not
   *   answer within `EVENT_LISTENER_TIMEOUT`
   */
  async publish(tx: Tx, event: SessionEvent, origins: Origins = null): Promise<void> {
    const { eventName: name, refusable } = event.constructor as SessionEventType;
    if (this.listeners === undefined)
      throw new Error(`${name} was published before its listeners were attached`);
    freeze(event);
    // Recorded before the listeners run, because the events they publish are consequences of this one.
    this.recorder.record(tx, event);
    const attached = ranksOf(name).map((busName) => ({ busName, count: this.listeners?.get(busName) ?? 0 }));
    const expected = attached.reduce((sum, { count }) => sum + count, 0);
    const outcomes = await this.inTime(event, tx, this.call(attached, event, tx, toOriginOf(origins)));
    const answers = outcomes.filter((outcome): outcome is Outcome => outcome !== undefined);
    const failures = answers
      .filter((outcome) => 'failure' in outcome)
      .toSorted((one, other) => (one.failedAs ?? 0) - (other.failedAs ?? 0));
    const [failed] = failures;
    // Later statements are sent without waiting for a refusal and may fail because of it: the refusal is the cause.
    if (refusable && failed?.failure instanceof ErrorAnswer) throw failed.failure;
    // One failed statement aborts the transaction, so those of other listeners fail, too. The first one is the cause.
    const { failure } = tx;
    const first = failure === undefined ? failed : failures.find((one) => isCausedBy(one.failure, failure));
    if (first !== undefined) throw new Error(`${first.listener} failed on ${name}`, { cause: first.failure });
    if (failure !== undefined) throw tx.hiddenFailure();
    if (answers.length !== expected)
      throw new Error(`${answers.length} of ${expected} listeners of ${name} answered`);
  }

  /** Calls all listeners without waiting in between. Those of the first rank send their statements first. */
  private async call(
    attached: readonly { readonly busName: string; readonly count: number }[],
    event: SessionEvent,
    tx: Tx,
    originOf: OriginOf,
  ): Promise<unknown[]> {
    const called = attached.filter(({ count }) => count > 0);
    const answers = await tx.inOrder(
      ...called.map(
        ({ busName }) =>
          () =>
            this.emitter.emitAsync(busName, event, tx, originOf),
      ),
    );
    return answers.flat();
  }

  /** A listener that hangs must not block the transaction and others that wait for its locks. */
  private async inTime(
    event: SessionEvent,
    { isShared }: Tx,
    work: Promise<unknown[]>,
  ): Promise<(Outcome | undefined)[]> {
    const { eventListenerTimeoutMs } = this.environment;
    // A request that is then retried alone gets the full time.
    const limitMs = isShared ? eventListenerTimeoutMs / 3 : eventListenerTimeoutMs;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const { eventName } = event.constructor as SessionEventType;
        const message = `Listeners of ${eventName} took too long: ${listenersAtWork(event).join(', ')}`;
        reject(new TookTooLong(message));
      }, limitMs);
    });
    try {
      return (await Promise.race([work, late])) as (Outcome | undefined)[];
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Also looks inside TypeORM's errors, which wrap those of the database. */
function isCausedBy(failure: unknown, cause: unknown): boolean {
  const causes = [...causesOf(failure)];
  return causes.some((one) => one === cause || (one as { driverError?: unknown }).driverError === cause);
}

/** Keeps a listener from changing the event for the others. */
function freeze(event: object): void {
  for (const value of Object.values(Object.freeze(event)))
    if (Array.isArray(value)) Object.freeze(value).forEach(Object.freeze);
}
