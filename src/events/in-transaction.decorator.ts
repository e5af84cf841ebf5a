import { OnEvent } from '@nestjs/event-emitter';
import type { Tx } from '../database/tx.js';
import type { SessionEvent, SessionEventType } from './session-event.js';

/** What a listener answers to the bus: a value, because a bus that rejects forgets the other listeners. */
export interface Outcome {
  /** The listener, as a person would look for it in the code: `NotesListener.onDevicesDeleted`. */
  readonly listener: string;
  readonly failure?: unknown;
  /** Tells which of two failed first: the other may have failed because of it. */
  readonly failedAs?: number;
}

let failures = 0;

const WRAPPED = new WeakSet<object>();
/** Listeners that have not answered yet. */
const AT_WORK = new WeakMap<SessionEvent, Set<string>>();

/**
 * Makes a method of a provider take part in the transaction that publishes `Event`. It runs before the commit,
 * with the event and the transaction; when it rejects, everything is rolled back and the client gets a 500 whose
 * token still works. Of `SessionStarted` and `DeviceCreated`, a `MatrixError` is the answer instead.
 *
 * The method must do its writes through `tx`, await them all, and be set-based: an event may carry one device or
 * ten thousand. It may run more than once for one logout, and for one that is refused in the end: requests share
 * transactions, which are tried again when they fail. Anything outside this database belongs elsewhere.
 *
 * Listeners of one event work side by side. The row of a device is there before the first statement of a listener of
 * `SessionStarted` or `DeviceCreated`: rows that reference it can be inserted. On `DevicesDeleted` it goes as soon as
 * its statement has its turn, and rows that reference it are gone after the first `await`: who wants to know what was
 * deleted asks for it with `DELETE … RETURNING`, as the first statement.
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

/** The same for what must stand before the listeners of all modules, wherever those are imported. */
export function FirstInTransaction<Event extends SessionEvent>(event: SessionEventType<Event>) {
  return inTransaction(event, 'first');
}

/** The same for what must come after them. */
export function LastInTransaction<Event extends SessionEvent>(event: SessionEventType<Event>) {
  return inTransaction(event, 'last');
}

const RANKS = ['first', 'between', 'last'] as const;
type Rank = (typeof RANKS)[number];

/**
 * The names under which the bus knows an event, in the order in which its listeners are called: theirs among each other
 * follows from how modules are imported.
 */
export function ranksOf(eventName: string): string[] {
  return RANKS.map((rank) => nameOf(eventName, rank));
}

function nameOf(eventName: string, rank: Rank): string {
  return rank === 'between' ? eventName : `${eventName}#${rank}`;
}

function inTransaction<Event extends SessionEvent>(event: SessionEventType<Event>, rank: Rank) {
  const busName = nameOf(event.eventName, rank);
  return <Method extends (event: Event, tx: Tx) => Promise<void>>(
    target: object,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void => {
    const listener = descriptor.value!;
    // A method may listen to several events: wrapped once, it is subscribed to each.
    if (WRAPPED.has(listener)) {
      OnEvent(busName, { suppressErrors: false })(target, name, descriptor);
      return;
    }
    // Typed as the method it replaces; only the bus sees the outcome.
    descriptor.value = function (this: object | undefined, happened: Event, tx: Tx) {
      const named = `${this?.constructor.name}.${String(name)}`;
      return outcomeOf(named, happened, () => listener.call(this, happened, tx.as(named)));
    } as unknown as Method;
    WRAPPED.add(descriptor.value);
    OnEvent(busName, { suppressErrors: false })(target, name, descriptor);
  };
}

/** Whether a method takes part in transactions, and so answers with an {@link Outcome}. */
export function isInTransaction(method: object): boolean {
  return WRAPPED.has(method);
}

/** The listeners that the event still waits for. */
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
