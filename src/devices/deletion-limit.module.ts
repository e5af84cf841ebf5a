import { applyDecorators, Injectable, Module } from '@nestjs/common';
import type { Statement, Tx } from '../database/tx.js';
import { DevicesDeleted } from '../events/devices-deleted.event.js';
import { EVENT_TYPES } from '../events/event-types.js';
import { FirstInTransaction } from '../events/in-transaction.decorator.js';
import type { SessionEvent } from '../events/session-event.js';

/**
 * How many rows this connection has deleted so far. PostgreSQL may include earlier transactions, so only the
 * difference counts.
 */
const DELETED = `(pg_stat_get_xact_tuples_deleted('devices'::regclass)
  + pg_stat_get_xact_tuples_deleted('accounts'::regclass))`;
/** TRUNCATE is not counted, but it gives the table a new file. */
const FILES = `ARRAY[pg_relation_filenode('devices'::regclass), pg_relation_filenode('accounts'::regclass)]::text`;
const COUNT: Statement = {
  name: 'devices_count_deleted',
  text: `SELECT ${DELETED}::int AS count, ${FILES} AS files`,
};
/**
 * Fails if more was deleted than allowed. The message is a parameter of `concat`, because PostgreSQL would cast a
 * constant, or a parameter by itself, while it plans.
 */
const LIMIT: Statement = {
  name: 'devices_limit_deleted',
  text: `SELECT CASE WHEN ${DELETED} <= $1::int AND ${FILES} = $2::text THEN 0 ELSE concat($3::text)::int END`,
};

const InEveryTransaction = () =>
  applyDecorators(...EVENT_TYPES.map((type) => FirstInTransaction(type) as MethodDecorator));

/** What a transaction may delete. */
interface Allowed {
  before: number;
  files: string;
  devices: number;
}

/** Rolls back a transaction in which a listener deleted accounts, or devices that no event names. */
@Injectable()
class DeletionLimitListener {
  @InEveryTransaction()
  async onEvent(event: SessionEvent, tx: Tx): Promise<void> {
    let isFirst = false;
    const allowed = tx.local<Allowed>(this, () => {
      isFirst = true;
      return { before: 0, files: '', devices: 0 };
    });
    if (event instanceof DevicesDeleted) allowed.devices += event.devices.length;
    if (!isFirst) return;
    tx.beforeCommit(() => ({
      statement: LIMIT,
      values: [
        allowed.before + allowed.devices,
        allowed.files,
        'a listener deleted more than its event names',
      ],
    }));
    const [row] = await tx.query<{ count: number; files: string }>(COUNT);
    allowed.before = row!.count;
    allowed.files = row!.files;
  }
}

/** Only imported if teams add modules. It comes before them, so that it runs before their first statements. */
@Module({ providers: [DeletionLimitListener] })
export class DeletionLimitModule {}
