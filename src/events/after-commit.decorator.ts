import 'reflect-metadata';
import type { SessionEvent, SessionEventType } from './session-event.js';

/** What is known about one delivery besides its event. */
export interface Delivery {
  /** The same in every attempt and for every subscriber. Use it to recognise repetitions. */
  readonly eventId: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** When the transaction of the event began. */
  readonly occurredAt: Date;
  /** Aborted when the delivery takes longer than `EVENT_DELIVERY_TIMEOUT`, and when the service stops. */
  readonly signal: AbortSignal;
}

/** The event and the subscriber name of a method. */
export interface AfterCommitSubscription {
  readonly event: SessionEventType;
  readonly subscriber: string;
}

const KEY = 'matrix-session-service:after-commit';

/**
 * Calls a method of a provider or controller after the commit of an `Event`: for anything outside this database. The
 * provider must not be request-scoped. The method gets the part of the event about one user, and a {@link Delivery}.
 *
 * It is called at least once, on one of the running nodes. If it rejects, or takes longer than
 * `EVENT_DELIVERY_TIMEOUT`, it is called again, with growing pauses. After `EVENT_MAX_ATTEMPTS` the delivery is
 * buried, for an administrator to inspect and replay. Events of a device arrive one at a time and in order: later
 * ones wait until an earlier one is delivered or buried. A method that keeps running after its time-out may overlap
 * with its next call.
 *
 * @param subscriber a name that must never change: undelivered events are stored under it. A new name gets the events
 *   from the start of its first node on (from nodes that already run: after their next `EVENT_POLL_INTERVAL`).
 *   Methods may share a name if they listen to different events; they are then called in order.
 *
 * @example
 * ```ts
 * @AfterCommit(DevicesDeleted, 'push-gateway')
 * async tellGateway({ devices }: DevicesDeleted, { eventId, signal }: Delivery): Promise<void> {
 *   await fetch(GATEWAY, { method: 'POST', body: JSON.stringify({ eventId, devices }), signal });
 * }
 * ```
 */
export function AfterCommit<Event extends SessionEvent>(event: SessionEventType<Event>, subscriber: string) {
  return <Method extends (event: Event, delivery: Delivery) => Promise<void>>(
    _target: object,
    _name: string | symbol,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void => {
    const listener = descriptor.value!;
    Reflect.defineMetadata(KEY, [...subscriptionsOf(listener), { event, subscriber }], listener);
  };
}

/** The subscriptions of a method. */
export function subscriptionsOf(method: object): readonly AfterCommitSubscription[] {
  return (Reflect.getMetadata(KEY, method) as AfterCommitSubscription[] | undefined) ?? [];
}
