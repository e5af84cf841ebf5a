import { Injectable } from '@nestjs/common';
import type { QueryResultRow } from 'pg';
import { inSteps, type Purge } from '../database/housekeeping.js';
import type { PendingStatement, Statement } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Entropy } from '../system/entropy.js';
import type { PagePosition } from '../admin-api/page.rules.js';
import type { DeliveryState, EventDeliveryEntity } from './event-delivery.entity.js';
import type { Subscriber } from './subscribers.js';

/** One user's part of an event, before it is known which subscribers get it. */
export interface NewDelivery {
  readonly userId: string;
  readonly eventId: string;
  readonly event: string;
  /** JSON. */
  readonly payload: string;
  readonly traceParent: string | null;
}

/** A delivery that this process holds the lease of. */
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
  | 'traceParent'
> & { readonly lease: string };

/** Where a delivery stands among all deliveries. */
export type Place = Pick<EventDeliveryEntity, 'userId' | 'subscriber' | 'position' | 'ordinal'>;

/** Counts and lists look at no more rows than this, so that no request waits for millions. */
const LOOKED_AT = 10_000;

// The position is read at the very end, while the transaction still holds the locks of the devices it changed. So, of
// two transactions that change one device, the later one gets the later position, even if the clock went back. A
// delivery behind a waiting one is not due before that one. Behind a leased one it is due at once: that one may be
// settled before this commits, and would then not wake it.
const APPEND: Statement = {
  name: 'outbox_append',
  text: `
    WITH clock AS MATERIALIZED (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS position)
    INSERT INTO event_deliveries
      (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at,
       trace_parent)
    SELECT e.user_id, s.subscriber, GREATEST(clock.position, latest.position + 1), e.ordinal, e.event_id, e.event, e.payload,
      $5, 'pending', 0, GREATEST($5, head.next_attempt_at), e.trace_parent
    FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $6::text[]) WITH ORDINALITY
      AS e (user_id, event_id, event, payload, trace_parent, ordinal)
    JOIN event_subscriptions s USING (event) CROSS JOIN clock
    LEFT JOIN LATERAL (
      SELECT position FROM event_deliveries known
      WHERE known.user_id = e.user_id AND known.subscriber = s.subscriber
      ORDER BY position DESC LIMIT 1) AS latest ON true
    LEFT JOIN LATERAL (
      SELECT next_attempt_at, lease FROM event_deliveries waiting
      WHERE waiting.user_id = e.user_id AND waiting.subscriber = s.subscriber AND waiting.state = 'pending'
      ORDER BY position, ordinal, event_id LIMIT 1) AS head ON head.lease IS NULL`,
};
// Leases only the earliest pending delivery of a user, which keeps the order, and none while another one of the user
// is leased: a delivery that became visible late may be earlier than the leased one.
const LEASE: Statement = {
  name: 'outbox_lease',
  text: `
    WITH due AS MATERIALIZED (
      SELECT user_id, subscriber, position, ordinal, event_id FROM event_deliveries d
      WHERE subscriber = $1 AND state = 'pending' AND next_attempt_at <= $2 AND event = ANY ($6)
        AND NOT EXISTS (
          SELECT FROM event_deliveries earlier
          WHERE earlier.user_id = d.user_id AND earlier.subscriber = d.subscriber AND earlier.state = 'pending'
            AND (earlier.position, earlier.ordinal, earlier.event_id) < (d.position, d.ordinal, d.event_id))
        AND NOT EXISTS (
          SELECT FROM event_deliveries leased
          WHERE leased.user_id = d.user_id AND leased.subscriber = d.subscriber AND leased.lease IS NOT NULL
            AND leased.next_attempt_at > $2)
      ORDER BY next_attempt_at LIMIT $3
      FOR UPDATE SKIP LOCKED
    )
    UPDATE event_deliveries d SET lease = $4, next_attempt_at = $5, attempts = attempts + 1 FROM due
    WHERE (d.user_id, d.subscriber, d.position, d.ordinal, d.event_id)
      = (due.user_id, due.subscriber, due.position, due.ordinal, due.event_id)
    RETURNING d.user_id AS "userId", d.subscriber, d.position, d.ordinal, d.event_id AS "eventId", d.event, d.payload,
      d.occurred_at AS "occurredAt", d.attempts, d.lease, d.trace_parent AS "traceParent"`,
};
const HELD = `user_id = $1 AND subscriber = $2 AND position = $3 AND ordinal = $4 AND event_id = $5
        AND lease = $6 AND state = 'pending'`;
// Also makes the next delivery of the user due.
const SETTLE: Statement = {
  name: 'outbox_settle',
  text: `
    WITH settled AS (
      UPDATE event_deliveries SET state = $7, settled_at = $8, lease = NULL, last_error = $9
      WHERE ${HELD}
      RETURNING user_id, subscriber, event_id
    ), next AS (
      SELECT waiting.* FROM settled CROSS JOIN LATERAL (
        SELECT user_id, subscriber, position, ordinal, event_id FROM event_deliveries
        WHERE user_id = settled.user_id AND subscriber = settled.subscriber AND state = 'pending'
          AND event_id <> settled.event_id
        ORDER BY position, ordinal, event_id LIMIT 1) AS waiting
    ), woken AS (
      UPDATE event_deliveries d SET next_attempt_at = $8 FROM next
      WHERE (d.user_id, d.subscriber, d.position, d.ordinal, d.event_id)
        = (next.user_id, next.subscriber, next.position, next.ordinal, next.event_id)
        AND d.next_attempt_at > $8 AND d.lease IS NULL
    )
    SELECT FROM settled`,
};
// Also postpones the deliveries behind it, which cannot go first.
const POSTPONE: Statement = {
  name: 'outbox_postpone',
  text: `
    WITH failed AS (
      UPDATE event_deliveries SET next_attempt_at = $7, lease = NULL, last_error = $8
      WHERE ${HELD}
      RETURNING user_id, subscriber, position, ordinal, event_id
    )
    UPDATE event_deliveries later SET next_attempt_at = $7 FROM failed
    WHERE later.user_id = failed.user_id AND later.subscriber = failed.subscriber AND later.state = 'pending'
      AND later.next_attempt_at < $7
      AND (later.position, later.ordinal, later.event_id) > (failed.position, failed.ordinal, failed.event_id)`,
};
const GIVE_BACK: Statement = {
  name: 'outbox_give_back',
  text: `
    UPDATE event_deliveries SET next_attempt_at = $7, lease = NULL, attempts = attempts - 1
    WHERE ${HELD}`,
};
const SUBSCRIBE: Statement = {
  name: 'outbox_subscribe',
  text: `
    INSERT INTO event_subscriptions (subscriber, event, seen_at) SELECT $1, unnest($2::text[]), $3
    ON CONFLICT (subscriber, event) DO UPDATE SET seen_at = excluded.seen_at`,
};
const UNSUBSCRIBE: Statement = {
  name: 'outbox_unsubscribe',
  text: `
    DELETE FROM event_subscriptions WHERE subscriber = $1 AND event <> ALL ($2::text[]) AND seen_at < $3 RETURNING 1`,
};
const FORGET_SUBSCRIBERS: Statement = {
  name: 'outbox_forget_subscribers',
  text: 'DELETE FROM event_subscriptions WHERE seen_at < $1 RETURNING 1',
};
const WANTED: Statement = {
  name: 'outbox_wanted',
  text: 'SELECT DISTINCT event FROM event_subscriptions',
};
/**
 * Changes a limited number of rows, and skips those that another node is changing. It finds them again by their place:
 * joined by their key, the planner may read the whole table.
 */
const batch = (name: string, where: string, change: string): Statement => ({
  name,
  text: `
    ${change}
    WHERE d.ctid = ANY (ARRAY(SELECT d.ctid FROM event_deliveries d WHERE ${where} LIMIT $2 FOR UPDATE SKIP LOCKED))
    RETURNING 1`,
});
const IS_SUBSCRIBED = `EXISTS (
        SELECT FROM event_subscriptions s WHERE s.subscriber = d.subscriber AND s.event = d.event)`;
const DELETE = 'DELETE FROM event_deliveries d';
const BURY_UNWANTED: Statement = {
  name: 'outbox_bury_unwanted',
  text: `
    WITH page AS MATERIALIZED (
      SELECT ctid, user_id, subscriber, position, ordinal, event FROM event_deliveries
      WHERE state = 'pending' AND (user_id, subscriber, position, ordinal) > ($3, $4, $5, $6)
      ORDER BY user_id, subscriber, position, ordinal LIMIT $2
    ), unwanted AS MATERIALIZED (
      SELECT ctid FROM event_deliveries
      WHERE ctid = ANY (ARRAY(SELECT d.ctid FROM page d WHERE NOT ${IS_SUBSCRIBED}))
      FOR UPDATE SKIP LOCKED
    ), buried AS (
      UPDATE event_deliveries SET state = 'buried', settled_at = $1, lease = NULL,
        last_error = 'Nobody is subscribed any more'
      WHERE ctid = ANY (ARRAY(SELECT ctid FROM unwanted))
    )
    SELECT user_id AS "userId", subscriber, position, ordinal FROM page
    ORDER BY user_id DESC, subscriber DESC, position DESC, ordinal DESC LIMIT 1`,
};
// The state is a literal here and below, because otherwise the planner could not use the partial index.
// Without the order, each batch would read everything that is old.
const purge = (state: 'delivered' | 'buried'): Statement => ({
  name: `outbox_purge_${state}`,
  text: `
    WITH removed AS (
      DELETE FROM event_deliveries WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM event_deliveries WHERE state = '${state}' AND settled_at < $1 AND settled_at >= $3
        ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED))
      RETURNING settled_at)
    SELECT count(*)::int AS looked, count(*)::int AS removed, max(settled_at)::text AS last FROM removed`,
});
const PURGE = { delivered: purge('delivered'), buried: purge('buried') };
const REPLAY_ALL = batch(
  'outbox_replay_all',
  `state = 'buried' AND subscriber = $1 AND ${IS_SUBSCRIBED}`,
  `UPDATE event_deliveries d SET state = 'pending', attempts = 0, next_attempt_at = $3, settled_at = NULL`,
);
const COLUMNS = `
  user_id AS "userId", subscriber, event_id AS "eventId", event, payload, occurred_at AS "occurredAt", state, attempts,
  next_attempt_at AS "nextAttemptAt", settled_at AS "settledAt", last_error AS "lastError"`;
const listSettled = (state: DeliveryState): Statement => ({
  name: `outbox_list_${state}`,
  text: `
    SELECT ${COLUMNS} FROM (
      SELECT * FROM event_deliveries WHERE state = '${state}' AND (settled_at, event_id) < ($3, $4)
      ORDER BY settled_at DESC, event_id DESC LIMIT ${LOOKED_AT}) AS latest
    WHERE $1::text IS NULL OR subscriber = $1 ORDER BY settled_at DESC, event_id DESC LIMIT $2`,
});
const LIST: Record<DeliveryState, Statement> = {
  pending: {
    name: 'outbox_list_pending',
    text: `
      SELECT ${COLUMNS} FROM (
        SELECT waiting.* FROM (
          SELECT $1::text AS subscriber WHERE $1 IS NOT NULL
          UNION SELECT subscriber FROM event_subscriptions WHERE $1::text IS NULL) AS asked
        CROSS JOIN LATERAL (
          SELECT * FROM event_deliveries WHERE subscriber = asked.subscriber AND state = 'pending'
            AND (next_attempt_at, event_id) > ($3, $4)
          ORDER BY next_attempt_at, event_id LIMIT $2) AS waiting) AS listed
      ORDER BY next_attempt_at, event_id LIMIT $2`,
  },
  delivered: listSettled('delivered'),
  buried: listSettled('buried'),
};
const LIST_OF_EVENT: Statement = {
  name: 'outbox_list_of_event',
  text: `SELECT ${COLUMNS} FROM event_deliveries WHERE event_id = $1 ORDER BY subscriber`,
};
const COUNT: Record<'pending' | 'buried', Statement> = {
  pending: {
    name: 'outbox_count_pending',
    text: `
      SELECT subscriber, count(waiting.found)::int AS count
      FROM (SELECT DISTINCT subscriber FROM event_subscriptions) AS known
      LEFT JOIN LATERAL (
        SELECT 1 AS found FROM event_deliveries d WHERE d.subscriber = known.subscriber AND d.state = 'pending'
        LIMIT ${LOOKED_AT}) AS waiting ON true
      GROUP BY subscriber`,
  },
  buried: {
    name: 'outbox_count_buried',
    text: `
      SELECT subscriber, count(*)::int AS count FROM (
        SELECT subscriber FROM event_deliveries WHERE state = 'buried' LIMIT ${LOOKED_AT}) AS counted
      GROUP BY subscriber`,
  },
};
const discard = (state: 'pending' | 'buried'): Statement =>
  batch(`outbox_discard_${state}`, `state = '${state}' AND subscriber = $1`, DELETE);
const DISCARD = { pending: discard('pending'), buried: discard('buried') };
const UNSUBSCRIBE_ALL: Statement = {
  name: 'outbox_unsubscribe_all',
  text: 'DELETE FROM event_subscriptions WHERE subscriber = $1',
};
const REPLAY: Statement = {
  name: 'outbox_replay',
  text: `
    UPDATE event_deliveries d SET state = 'pending', attempts = 0, next_attempt_at = $3, settled_at = NULL
    WHERE event_id = $1 AND subscriber = $2 AND state = 'buried' AND ${IS_SUBSCRIBED} RETURNING 1`,
};

// Only the first of each user and subscriber: later ones wait for it and are not stuck themselves.
const FIND_STUCK: Statement = {
  name: 'outbox_find_stuck',
  text: `
    WITH late AS MATERIALIZED (
      SELECT user_id, subscriber, position, ordinal, event_id FROM event_deliveries
      WHERE state = 'pending' AND next_attempt_at < $1
      ORDER BY subscriber, next_attempt_at LIMIT $2)
    SELECT d.event_id AS "eventId", d.subscriber FROM late d WHERE NOT EXISTS (
      SELECT FROM event_deliveries earlier
      WHERE earlier.user_id = d.user_id AND earlier.subscriber = d.subscriber AND earlier.state = 'pending'
        AND (earlier.position, earlier.ordinal, earlier.event_id) < (d.position, d.ordinal, d.event_id))`,
};
const COUNT_DELIVERED: Statement = {
  name: 'outbox_count_delivered',
  text: `
    SELECT count(*)::int AS count FROM unnest($1::text[], $2::text[]) AS looked (event_id, subscriber)
    JOIN event_deliveries d USING (event_id, subscriber) WHERE d.state = 'delivered'`,
};
const FIND_UNSETTLED: Statement = {
  name: 'outbox_find_unsettled',
  text: `
    SELECT event_id AS "eventId", state, last_error AS "lastError" FROM event_deliveries
    WHERE subscriber = $1 AND event_id = ANY ($2) AND state <> 'delivered'`,
};
const IS_PENDING: Statement = {
  name: 'outbox_is_pending',
  text: `
    SELECT FROM event_deliveries
    WHERE user_id = $1 AND subscriber = $2 AND state = 'pending' AND event = $3 LIMIT 1`,
};
const OLDEST_PENDING: Statement = {
  name: 'outbox_oldest_pending',
  text: `
    SELECT min(occurred_at) AS oldest FROM (
      SELECT occurred_at FROM event_deliveries WHERE subscriber = $1 AND state = 'pending'
      LIMIT ${LOOKED_AT}) AS pending`,
};
// The oldest events of each subscriber are due first, or were tried long ago.
const OLDEST_PENDING_OF_ALL: Statement = {
  name: 'outbox_oldest_pending_of_all',
  text: `
    SELECT min(pending.occurred_at) AS oldest
    FROM (SELECT DISTINCT subscriber FROM event_subscriptions) AS s, LATERAL (
      SELECT occurred_at FROM event_deliveries d WHERE d.subscriber = s.subscriber AND d.state = 'pending'
      LIMIT ${LOOKED_AT}) AS pending`,
};
const WAITS = `subscriber = $1 AND state = 'pending' AND lease IS NULL AND next_attempt_at > $3`;
// Of the users of some events.
const HASTEN: Statement = {
  name: 'outbox_hasten',
  text: `
    UPDATE event_deliveries d SET next_attempt_at = $3
    WHERE ${WAITS} AND user_id IN (
      SELECT awaited.user_id FROM event_deliveries awaited WHERE awaited.event_id = ANY ($2))
    RETURNING 1`,
};

const HASTEN_SOME = batch('outbox_hasten_some', WAITS, 'UPDATE event_deliveries d SET next_attempt_at = $3');

/** An overdue event that does not wait for an earlier one. */
export interface StuckEvent {
  readonly eventId: string;
  readonly subscriber: string;
}

/** The SQL of the outbox. */
@Injectable()
export class OutboxStore {
  /** They delete at most `limit` deliveries that were settled so before a time. */
  readonly purges: Readonly<Record<'delivered' | 'buried', Purge>>;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly entropy: Entropy,
  ) {
    const inOrder = (state: 'delivered' | 'buried') => inSteps(unitOfWork, PURGE[state], '-infinity');
    this.purges = { delivered: inOrder('delivered'), buried: inOrder('buried') };
  }

  appending(deliveries: readonly NewDelivery[], occurredAt: Date): PendingStatement {
    return {
      statement: APPEND,
      values: [
        deliveries.map(({ userId }) => userId),
        deliveries.map(({ eventId }) => eventId),
        deliveries.map(({ event }) => event),
        deliveries.map(({ payload }) => payload),
        occurredAt,
        deliveries.map(({ traceParent }) => traceParent),
      ],
    };
  }

  /** Events that were due before `before` and do not wait for an earlier one. */
  findStuck(before: Date, limit: number): Promise<StuckEvent[]> {
    return this.unitOfWork.query(FIND_STUCK, [before, limit]);
  }

  /** Those of these events that a subscriber has not received. */
  findUnsettled(
    subscriber: string,
    eventIds: readonly string[],
  ): Promise<Pick<EventDeliveryEntity, 'eventId' | 'state' | 'lastError'>[]> {
    return this.unitOfWork.query(FIND_UNSETTLED, [subscriber, eventIds]);
  }

  /**
   * Makes deliveries due that wait for their next attempt, of the users of some events.
   * @returns whether there were any
   */
  async hasten(subscriber: string, eventIds: readonly string[], now: Date): Promise<boolean> {
    return (await this.unitOfWork.runOne(HASTEN, [subscriber, eventIds, now])).length > 0;
  }

  /** The same for at most `limit` deliveries of any users. Returns how many there were. */
  async hastenSome(subscriber: string, limit: number, now: Date): Promise<number> {
    return (await this.unitOfWork.runOne(HASTEN_SOME, [subscriber, limit, now])).length;
  }

  newEventId(): string {
    return `evt_${this.entropy.bytes(18).toString('base64url')}`;
  }

  async isPending(subscriber: string, userId: string, event: string): Promise<boolean> {
    return (await this.unitOfWork.query(IS_PENDING, [userId, subscriber, event])).length > 0;
  }

  /** Looks at no more than ten thousand. */
  async oldestPending(subscriber: string): Promise<Date | null> {
    const [row] = await this.unitOfWork.query<{ oldest: Date | null }>(OLDEST_PENDING, [subscriber]);
    return row?.oldest ?? null;
  }

  /** When the oldest event of all that subscribers have not received occurred. */
  async oldestPendingOfAll(): Promise<Date | null> {
    const [row] = await this.unitOfWork.query<{ oldest: Date | null }>(OLDEST_PENDING_OF_ALL);
    return row?.oldest ?? null;
  }

  /** How many of these events have been delivered. */
  async countDelivered(events: readonly StuckEvent[]): Promise<number> {
    const [row] = await this.unitOfWork.query<{ count: number }>(COUNT_DELIVERED, [
      events.map(({ eventId }) => eventId),
      events.map(({ subscriber }) => subscriber),
    ]);
    return row!.count;
  }

  lease(
    { name, events }: Pick<Subscriber, 'name' | 'events'>,
    { now, limit, until }: { now: Date; limit: number; until: Date },
  ): Promise<LeasedDelivery[]> {
    const lease = this.entropy.bytes(12).toString('base64url');
    return this.unitOfWork.runOne(LEASE, [name, now, limit, lease, until, events]);
  }

  /** Settles a delivery. Returns `false` if the lease was lost. */
  async settle(
    delivery: LeasedDelivery,
    state: Exclude<DeliveryState, 'pending'>,
    at: Date,
    error: string | null,
  ): Promise<boolean> {
    const rows = await this.unitOfWork.runOne(SETTLE, [...keyOf(delivery), state, at, error]);
    return rows.length > 0;
  }

  /** Ends the lease until the next attempt. The deliveries behind it wait until then, too. */
  async postpone(delivery: LeasedDelivery, until: Date, error: string): Promise<void> {
    await this.unitOfWork.runOne(POSTPONE, [...keyOf(delivery), until, error]);
  }

  /** Ends the lease as if the delivery had not been tried. */
  async giveBack(delivery: LeasedDelivery, now: Date): Promise<void> {
    await this.unitOfWork.runOne(GIVE_BACK, [...keyOf(delivery), now]);
  }

  /**
   * Records that a node has these subscriptions. Ends the name's other subscriptions that no node has had since
   * `lapsed`, and returns their number.
   */
  async subscribe(
    { name, events }: Pick<Subscriber, 'name' | 'events'>,
    now: Date,
    lapsed: Date,
  ): Promise<number> {
    const sorted = events.toSorted();
    await this.unitOfWork.runOne(SUBSCRIBE, [name, sorted, now]);
    return (await this.unitOfWork.runOne(UNSUBSCRIBE, [name, sorted, lapsed])).length;
  }

  /** Names of the events that any subscriber on any node gets. */
  async wanted(): Promise<ReadonlySet<string>> {
    const rows = await this.unitOfWork.query<{ event: string }>(WANTED);
    return new Set(rows.map(({ event }) => event));
  }

  /** Ends the subscriptions that no node has had since `before`, and returns their number. */
  async forgetSubscribers(before: Date): Promise<number> {
    return (await this.unitOfWork.runOne(FORGET_SUBSCRIBERS, [before])).length;
  }

  /**
   * Looks at the next `limit` pending deliveries after a place, and buries those without a subscription. Returns the
   * place of the last one; `null` if there was none.
   */
  async buryUnwanted(
    now: Date,
    limit: number,
    { userId, subscriber, position, ordinal }: Place,
  ): Promise<Place | null> {
    const values = [now, limit, userId, subscriber, position, ordinal];
    return (await this.unitOfWork.runOne<Place & QueryResultRow>(BURY_UNWANTED, values))[0] ?? null;
  }

  /**
   * Pending deliveries, longest due first, or others, latest first. Of the others, only the latest ten thousand of
   * all subscribers are searched for those of one.
   */
  list(
    state: DeliveryState,
    subscriber: string | null,
    limit: number,
    { at, id }: PagePosition,
  ): Promise<EventDeliveryEntity[]> {
    return this.unitOfWork.query(LIST[state], [subscriber, limit, at, id]);
  }

  /** The deliveries of one event, in any state. */
  listOfEvent(eventId: string): Promise<EventDeliveryEntity[]> {
    return this.unitOfWork.query(LIST_OF_EVENT, [eventId]);
  }

  /**
   * How many deliveries of each subscriber are in a state. It counts at most ten thousand pending ones of each
   * subscriber, and at most ten thousand buried ones in total.
   */
  count(state: 'pending' | 'buried'): Promise<{ subscriber: string; count: number }[]> {
    return this.unitOfWork.query(COUNT[state]);
  }

  /** Ends the subscriptions of a subscriber on all nodes. */
  async unsubscribeAll(subscriber: string): Promise<void> {
    await this.unitOfWork.runOne(UNSUBSCRIBE_ALL, [subscriber]);
  }

  /** Deletes at most `limit` pending or buried deliveries of a subscriber, and returns their number. */
  async discard(state: 'pending' | 'buried', subscriber: string, limit: number): Promise<number> {
    return (await this.unitOfWork.runOne(DISCARD[state], [subscriber, limit])).length;
  }

  /** Makes a buried delivery pending. Returns `false` if there is none, or its subscription has ended. */
  async replay(eventId: string, subscriber: string, now: Date): Promise<boolean> {
    return (await this.unitOfWork.runOne(REPLAY, [eventId, subscriber, now])).length > 0;
  }

  /** Makes at most `limit` buried deliveries of a subscriber pending, and returns their number. */
  async replayAll(subscriber: string, limit: number, now: Date): Promise<number> {
    return (await this.unitOfWork.runOne(REPLAY_ALL, [subscriber, limit, now])).length;
  }
}

function keyOf({ userId, subscriber, position, ordinal, eventId, lease }: LeasedDelivery): unknown[] {
  return [userId, subscriber, position, ordinal, eventId, lease];
}
