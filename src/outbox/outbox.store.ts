import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { DeliveryState, EventDeliveryEntity } from './event-delivery.entity.js';

/** An event of one user, before it is known who is owed it. */
export interface NewDelivery {
  readonly userId: string;
  readonly eventId: string;
  readonly event: string;
  readonly payload: object;
}

/** A delivery that this process may make. */
export type LeasedDelivery = Pick<
  EventDeliveryEntity,
  | 'userId'
  | 'subscriber'
  | 'position'
  | 'ordinal'
  | 'eventId'
  | 'event'
  | 'payload'
  | 'occurredAt'
  | 'attempts'
> & { readonly lease: string };

// The position is taken last of all, while the transaction holds the devices it changed: of two transactions that
// change one device, the later takes the later position.
const APPEND: Statement = {
  name: 'outbox_append',
  text: `
    WITH clock AS MATERIALIZED (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS position)
    INSERT INTO event_deliveries
      (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at)
    SELECT e.user_id, s.name, clock.position, e.ordinal, e.event_id, e.event, e.payload, $5, 'pending', 0, $5
    FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[]) WITH ORDINALITY
      AS e (user_id, event_id, event, payload, ordinal)
    JOIN event_subscribers s ON e.event = ANY (s.events) CROSS JOIN clock`,
};
// Of each user only the earliest is ever under way, so their order is kept.
const LEASE: Statement = {
  name: 'outbox_lease',
  text: `
    WITH due AS MATERIALIZED (
      SELECT user_id, subscriber, position, ordinal, event_id FROM event_deliveries d
      WHERE subscriber = $1 AND state = 'pending' AND next_attempt_at <= $2 AND NOT EXISTS (
        SELECT FROM event_deliveries earlier
        WHERE earlier.user_id = d.user_id AND earlier.subscriber = d.subscriber AND earlier.state = 'pending'
          AND (earlier.position, earlier.ordinal) < (d.position, d.ordinal))
      ORDER BY next_attempt_at LIMIT $3
      FOR UPDATE SKIP LOCKED
    )
    UPDATE event_deliveries d SET lease = $4, next_attempt_at = $5, attempts = attempts + 1 FROM due
    WHERE (d.user_id, d.subscriber, d.position, d.ordinal, d.event_id)
      = (due.user_id, due.subscriber, due.position, due.ordinal, due.event_id)
    RETURNING d.user_id AS "userId", d.subscriber, d.position, d.ordinal, d.event_id AS "eventId", d.event, d.payload,
      d.occurred_at AS "occurredAt", d.attempts, d.lease`,
};
const SETTLE: Statement = {
  name: 'outbox_settle',
  text: `
    UPDATE event_deliveries SET state = $7, settled_at = $8, lease = NULL, last_error = $9
    WHERE user_id = $1 AND subscriber = $2 AND position = $3 AND ordinal = $4 AND event_id = $5
      AND lease = $6 AND state = 'pending'`,
};
// What waits behind it need not be looked at earlier.
const POSTPONE: Statement = {
  name: 'outbox_postpone',
  text: `
    WITH failed AS (
      UPDATE event_deliveries SET next_attempt_at = $7, lease = NULL, last_error = $8
      WHERE user_id = $1 AND subscriber = $2 AND position = $3 AND ordinal = $4 AND event_id = $5
        AND lease = $6 AND state = 'pending'
      RETURNING user_id, subscriber, position, ordinal
    )
    UPDATE event_deliveries later SET next_attempt_at = $7 FROM failed
    WHERE later.user_id = failed.user_id AND later.subscriber = failed.subscriber AND later.state = 'pending'
      AND later.next_attempt_at < $7
      AND (later.position, later.ordinal) > (failed.position, failed.ordinal)`,
};
const SUBSCRIBE: Statement = {
  name: 'outbox_subscribe',
  text: `
    INSERT INTO event_subscribers (name, events, seen_at) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET events = excluded.events, seen_at = excluded.seen_at`,
};
const WANTED: Statement = {
  name: 'outbox_wanted',
  text: 'SELECT DISTINCT unnest(events) AS event FROM event_subscribers',
};
const FORGET: Statement = {
  name: 'outbox_forget',
  text: `
    WITH gone AS (
      DELETE FROM event_subscribers WHERE seen_at < $1 RETURNING name
    ), buried AS (
      UPDATE event_deliveries SET state = 'buried', settled_at = $2, last_error = 'Nobody is subscribed any more'
      WHERE state = 'pending' AND subscriber IN (SELECT name FROM gone)
    )
    DELETE FROM event_deliveries WHERE (user_id, subscriber, position, ordinal, event_id) IN (
      SELECT user_id, subscriber, position, ordinal, event_id FROM event_deliveries
      WHERE state = 'delivered' AND settled_at < $1 LIMIT 10000)`,
};
const COLUMNS = `
  user_id AS "userId", subscriber, event_id AS "eventId", event, payload, occurred_at AS "occurredAt", state, attempts,
  next_attempt_at AS "nextAttemptAt", settled_at AS "settledAt", last_error AS "lastError"`;
const LIST: Statement = {
  name: 'outbox_list',
  text: `
    SELECT ${COLUMNS} FROM event_deliveries
    WHERE state = $1 AND ($2::text IS NULL OR subscriber = $2) ORDER BY occurred_at DESC, event_id LIMIT $3`,
};
const COUNT: Statement = {
  name: 'outbox_count',
  text: `
    SELECT count(*)::int AS count FROM (SELECT FROM event_deliveries WHERE state = $1 LIMIT $2) AS counted`,
};
const REPLAY: Statement = {
  name: 'outbox_replay',
  text: `
    UPDATE event_deliveries SET state = 'pending', attempts = 0, next_attempt_at = $3, settled_at = NULL
    WHERE event_id = $1 AND subscriber = $2 AND state = 'buried' RETURNING user_id`,
};

/** The SQL of the outbox. */
@Injectable()
export class OutboxStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  append(query: Tx['query'], deliveries: readonly NewDelivery[], occurredAt: Date): Promise<unknown> {
    return query(APPEND, [
      deliveries.map(({ userId }) => userId),
      deliveries.map(({ eventId }) => eventId),
      deliveries.map(({ event }) => event),
      deliveries.map(({ payload }) => JSON.stringify(payload)),
      occurredAt,
    ]);
  }

  lease(
    subscriber: string,
    { now, limit, lease, until }: { now: Date; limit: number; lease: string; until: Date },
  ): Promise<LeasedDelivery[]> {
    return this.unitOfWork.runOne(LEASE, [subscriber, now, limit, lease, until]);
  }

  async settle(
    delivery: LeasedDelivery,
    state: Exclude<DeliveryState, 'pending'>,
    at: Date,
    error: string | null,
  ): Promise<void> {
    await this.unitOfWork.runOne(SETTLE, [...keyOf(delivery), state, at, error]);
  }

  /** Puts it back; what waits behind it waits as long. */
  async postpone(delivery: LeasedDelivery, until: Date, error: string): Promise<void> {
    await this.unitOfWork.runOne(POSTPONE, [...keyOf(delivery), until, error]);
  }

  async subscribe(name: string, events: readonly string[], now: Date): Promise<void> {
    await this.unitOfWork.runOne(SUBSCRIBE, [name, events, now]);
  }

  /** Names of the events that anybody, on any node, wants to hear of. */
  async wanted(): Promise<ReadonlySet<string>> {
    const rows = await this.unitOfWork.query<{ event: string }>(WANTED);
    return new Set(rows.map(({ event }) => event));
  }

  /** Removes what was delivered before, and subscribers that no node has had since. */
  async forget(before: Date, now: Date): Promise<void> {
    await this.unitOfWork.runOne(FORGET, [before, now]);
  }

  list(state: DeliveryState, subscriber: string | null, limit: number): Promise<EventDeliveryEntity[]> {
    return this.unitOfWork.query(LIST, [state, subscriber, limit]);
  }

  /** How many deliveries are in a state, `most` at the most. */
  async count(state: DeliveryState, most: number): Promise<number> {
    const [row] = await this.unitOfWork.query<{ count: number }>(COUNT, [state, most]);
    return row!.count;
  }

  /** Whether there was something buried. */
  async replay(eventId: string, subscriber: string, now: Date): Promise<boolean> {
    return (await this.unitOfWork.runOne(REPLAY, [eventId, subscriber, now])).length > 0;
  }
}

function keyOf({ userId, subscriber, position, ordinal, eventId, lease }: LeasedDelivery): unknown[] {
  return [userId, subscriber, position, ordinal, eventId, lease];
}
