import { OutboxController } from '../../outbox/outbox.controller.js';
import type { Context } from '../context.js';
import { type ListOptions, printList } from '../listing.js';
import { type Columns, timeOf } from '../terminal.js';

/** A delivery as the endpoints for administrators show it. */
interface Delivery {
  readonly event_id: string;
  readonly type: string;
  readonly subscriber: string;
  readonly user_id: string;
  readonly state: string;
  readonly attempts: number;
  readonly occurred_ts: number;
  readonly next_attempt_ts: number | null;
  readonly last_error: string | null;
}

const COLUMNS: Columns<Delivery> = [
  ['Event', ({ event_id }) => event_id],
  ['Type', ({ type }) => type],
  ['Subscriber', ({ subscriber }) => subscriber],
  ['User', ({ user_id }) => user_id],
  ['State', ({ state }) => state],
  ['Attempts', ({ attempts }) => attempts],
  ['Occurred', ({ occurred_ts }) => timeOf(occurred_ts)],
  ['Next attempt', ({ next_attempt_ts }) => timeOf(next_attempt_ts)],
  ['Last error', ({ last_error }) => last_error?.slice(0, 60)],
];

export function listEvents(context: Context, options: ListOptions): Promise<void> {
  return context.withService((service) =>
    printList<Delivery>(context, options, (query) => service.get(OutboxController).list(query), {
      key: 'deliveries',
      columns: COLUMNS,
      none: 'There is no such delivery.',
    }),
  );
}

/** Retries one buried delivery of a subscriber, or all. */
export function replayEvents(context: Context, subscriber: string, eventId?: string): Promise<void> {
  return context.withService(
    async (service) => {
      const outbox = service.get(OutboxController);
      if (eventId !== undefined) {
        await outbox.replay(subscriber, eventId);
        return context.terminal.answer({ replayed: 1 }, () => 'The delivery is tried again.');
      }
      const replayed = await untilNone(
        async () => ((await outbox.replayAll(subscriber)) as { replayed: number }).replayed,
      );
      return context.terminal.answer({ replayed }, () => `${replayed} deliveries are tried again.`);
    },
    { changes: true },
  );
}

/** Forgets a subscriber that will not come back, with what it has not received. */
export function discardEvents(context: Context, subscriber: string): Promise<void> {
  return context.withService(async (service) => {
    await context.terminal.confirm(`Delete all that ${subscriber} has not received?`);
    const outbox = service.get(OutboxController);
    const discarded = await untilNone(
      async () => ((await outbox.discard(subscriber)) as { discarded: number }).discarded,
    );
    await context.terminal.answer({ discarded }, () => `${discarded} deliveries are deleted.`);
  });
}

/** One call handles some of them. */
async function untilNone(some: () => Promise<number>): Promise<number> {
  let all = 0;
  for (let count = await some(); count > 0; count = await some()) all += count;
  return all;
}
