import { OnEvent } from '@nestjs/event-emitter';
import type { Tx } from '../database/tx.js';
import type { OriginOf } from './origins.js';
import type { SessionEvent, SessionEventType } from './session-event.js';

/** What a listener returns to the bus. It never rejects, because the bus would then drop the other outcomes. */
export interface Outcome {
  /** Class and method of the listener: `NotesListener.onDevicesDeleted`. */
  readonly listener: string;
  readonly failure?: unknown;
  /** The order of failures: a later one may be a consequence of an earlier one. */
  readonly failedAs?: number;
}

let failures = 0;

const WRAPPED = new WeakSet<object>();
/** Listeners that have not answered yet. */
const AT_WORK = new WeakMap<SessionEvent, Set<string>>();

/**
 * Makes a method of a provider take part in the transaction that publishes `Event`. It runs before the commit, with
 * the event, the transaction, and a function that says where the request came from ({@link OriginOf}). If it rejects,
 * everything is rolled back, the client gets a 500, and its token still works. On `SessionStarted` and
 * `DeviceCreated`, a `MatrixError` that it throws is the answer instead.
 *
 * The method must do its writes through `tx`, await them all, and be set-based: an event may contain one device or
 * ten thousand. It may run more than once for one logout, and for a logout that is finally refused, because requests
 * share transactions and these are retried when they fail. Use `@AfterCommit` for anything outside this database.
 *
 * Listeners of one event run concurrently. On `SessionStarted` and `DeviceCreated` the row of the device exists
 * before the first statement of a listener, so rows that reference it can be inserted. On `DevicesDeleted` the row is
 * deleted right after the first statements of the listeners, so rows that reference it are gone after the first
 * `await`. To learn what was deleted, use `DELETE … RETURNING` as the first statement.
 *
 * @example
 * ```ts
 * @InTransaction(DevicesDeleted)
 * async removePushers(event: DevicesDeleted, tx: Tx): Promise<void> {
 *   await tx.query(DELETE_PUSHERS, deviceColumns(event.devices));
 * }
 * ```
 */
export function InTransaction<Event extends SessionEvent>(event: SessionEventType<Event>) {
  return inTransaction(event, 'between');
}

/** The same, but called before the listeners of all modules, in whatever order those are imported. */
export function FirstInTransaction<Event extends SessionEvent>(event: SessionEventType<Event>) {
  return inTransaction(event, 'first');
}

/** The same, but called after them. */
export function LastInTransaction<Event extends SessionEvent>(event: SessionEventType<Event>) {
  return inTransaction(event, 'last');
}

const RANKS = ['first', 'between', 'last'] as const;
type Rank = (typeof RANKS)[number];

/**
 * The bus names of an event, one for each rank, in the order in which listeners are called. Within a rank the order
 * depends on how modules are imported.
 */
export function ranksOf(eventName: string): string[] {
  return RANKS.map((rank) => nameOf(eventName, rank));
}

function nameOf(eventName: string, rank: Rank): string {
  return rank === 'between' ? eventName : `${eventName}#${rank}`;
}

function inTransaction<Event extends SessionEvent>(event: SessionEventType<Event>, rank: Rank) {
  const busName = nameOf(event.eventName, rank);
  return <Method extends (event: Event, tx: Tx, originOf: OriginOf) => Promise<void>>(
    target: object,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void => {
    const listener = descriptor.value!;
    // A method that listens to several events is wrapped once and subscribed to each.
    if (WRAPPED.has(listener)) {
      OnEvent(busName, { suppressErrors: false })(target, name, descriptor);
      return;
    }
    // Typed like the method it replaces, because only the bus sees the outcome.
    descriptor.value = function (this: object | undefined, happened: Event, tx: Tx, originOf: OriginOf) {
      const { eventName } = happened.constructor as SessionEventType;
      const named = `${this?.constructor.name}.${String(name)}`;
      return outcomeOf(named, happened, () =>
        tx.tracing.span(named, { attributes: { event: eventName } }, () =>
          listener.call(this, happened, tx.as(named), originOf),
        ),
      );
    } as unknown as Method;
    WRAPPED.add(descriptor.value);
    OnEvent(busName, { suppressErrors: false })(target, name, descriptor);
  };
}

/** Whether a method takes part in transactions and therefore returns an {@link Outcome}. */
export function isInTransaction(method: object): boolean {
  return WRAPPED.has(method);
}

/** The listeners of the event that have not answered yet. */
export function listenersAtWork(event: SessionEvent): readonly string[] {
  return [...(AT_WORK.get(event) ?? [])];
}

async function outcomeOf(listener: string, event: SessionEvent, work: () => Promise<void>): Promise<Outcome> {
  const atWork = AT_WORK.get(event) ?? new Set();
  AT_WORK.set(event, atWork.add(listener));
  try {
    await work();
    return { listener };
  } catch (failure) {
    failures += 1;
    return { listener, failure, failedAs: failures };
  } finally {
    atWork.delete(listener);
  }
}
