import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { EventEmitter2, EventEmitterReadinessWatcher } from '@nestjs/event-emitter';
import { Environment } from '../config/environment.js';
import { Impatience } from '../database/batcher.js';
import type { Tx } from '../database/tx.js';
import { ErrorAnswer } from '../matrix/matrix-error.js';
import { EventRecorder } from './event-recorder.port.js';
import type { Outcome } from './in-transaction.decorator.js';
import type { SessionEvent, SessionEventType } from './session-event.js';

/**
 * Publishes events on Nest's event bus, inside the transaction that makes them true, and keeps them for those who
 * hear of them after the commit.
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
  /** How many listeners each event has; unset until all are attached. */
  private listeners: Map<string, number> | undefined;

  constructor(
    private readonly emitter: EventEmitter2,
    private readonly readiness: EventEmitterReadinessWatcher,
    private readonly recorder: EventRecorder,
    private readonly environment: Environment,
  ) {}

  /** Listeners attach in this very phase, in an order nobody promises: wait for them without holding it up. */
  onApplicationBootstrap(): void {
    void this.readiness.waitUntilReady().then(() => {
      const names = this.emitter.eventNames().map(String);
      this.listeners = new Map(names.map((name) => [name, this.emitter.listenerCount(name)]));
    });
  }

  /**
   * Resolves when every listener of the event has done its part in `tx`.
   *
   * The bus itself takes silence for success: it resolves when a listener fails, and when nobody listens. So each
   * listener's outcome is looked at, and counted.
   * @throws {ErrorAnswer} of a listener, where the event may be refused
   * @throws {Error} caused by the first failure, or saying that a listener did not answer, or not within
   *   `EVENT_LISTENER_TIMEOUT`
   */
  async publish(tx: Tx, event: SessionEvent): Promise<void> {
    const { eventName: name, refusable } = event.constructor as SessionEventType;
    if (this.listeners === undefined)
      throw new Error(`${name} was published before its listeners were attached`);
    freeze(event);
    // Before the listeners, whose own events are its consequences.
    this.recorder.record(tx, event);
    const expected = this.listeners.get(name) ?? 0;
    const outcomes = await this.inTime(name, tx, this.emitter.emitAsync(name, event, tx));
    const failed = outcomes.find((outcome) => outcome !== undefined && 'failure' in outcome);
    // One failed statement aborts the transaction and fails its neighbours: the database's first word is the cause.
    // A refusal came before what it made fail: statements that follow are sent without waiting for it.
    if (refusable && failed?.failure instanceof ErrorAnswer) throw failed.failure;
    if (tx.failure !== undefined) throw tx.failure;
    if (failed !== undefined) throw new Error(`A listener of ${name} failed`, { cause: failed.failure });
    const answered = outcomes.filter((outcome) => outcome !== undefined).length;
    if (answered !== expected) throw new Error(`${answered} of ${expected} listeners of ${name} answered`);
  }

  /** A listener that hangs must not hold the transaction, and whatever waits for its locks. */
  private async inTime(
    name: string,
    { inCompany }: Tx,
    work: Promise<unknown[]>,
  ): Promise<(Outcome | undefined)[]> {
    const { eventListenerTimeoutMs } = this.environment;
    // Who then goes on alone has all of the time once more.
    const limitMs = inCompany ? eventListenerTimeoutMs / 3 : eventListenerTimeoutMs;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const message = `The listeners of ${name} took too long`;
      timer = setTimeout(() => reject(inCompany ? new Impatience(message) : new Error(message)), limitMs);
    });
    try {
      return (await Promise.race([work, late])) as (Outcome | undefined)[];
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What one listener did to an event, others would take for what happened. */
function freeze(event: object): void {
  for (const value of Object.values(Object.freeze(event)))
    if (Array.isArray(value)) Object.freeze(value).forEach(Object.freeze);
}
