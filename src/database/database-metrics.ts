import type { Pool } from 'pg';
import type { Metrics } from '../metrics/metrics.js';
import { type Connections, TURNS_KINDS } from './connections.js';
import type { WorkEvent } from './shared-work.js';

const COUNTERS = {
  calls: {
    name: 'session_database_shared_calls_total',
    help: 'Transactions and look-ups that requests shared, by kind of work.',
  },
  items: {
    name: 'session_database_shared_items_total',
    help: 'Requests in them: divided by the calls, how many shared one.',
  },
  alone: {
    name: 'session_database_shared_retries_total',
    help: 'Requests that were tried again by themselves, because what they shared had failed.',
  },
  refused: {
    name: 'session_database_refusals_total',
    help: 'Requests that were refused with 503, because too many waited for the database.',
  },
} satisfies Record<WorkEvent, object>;
const RETRIES = 'session_database_transaction_retries_total';

/** Metrics of the pool's connections, and of the requests that wait for one. */
export class DatabaseMetrics {
  private readonly waiting = new Map<string, () => number>();

  constructor(
    private readonly metrics: Metrics,
    connections: Connections,
    pool: Pool,
  ) {
    for (const counter of Object.values(COUNTERS)) metrics.addCounter({ ...counter, labelNames: ['kind'] });
    metrics.addCounter({
      name: RETRIES,
      help: 'Transactions that ran again, after a conflict with another one or the loss of the connection.',
      labelNames: ['reason'],
    });
    for (const reason of ['conflict', 'connection']) metrics.count(RETRIES, { reason }, 0);
    metrics.addGauge(
      { name: 'session_database_pool_size', help: 'The most connections that the pool may have.' },
      async () => [{ labels: {}, value: pool.options.max }],
    );
    const { transactions, lookUps, patient } = connections;
    const { name: refusals } = COUNTERS.refused;
    for (const kind of TURNS_KINDS) metrics.count(refusals, { kind }, 0);
    connections.whenRefused((kind) => metrics.count(refusals, { kind }));
    this.watch('transactions', () => transactions.waiting);
    this.watch('look-ups', () => lookUps.waiting);
    this.watch('patient', () => patient.waiting);
    metrics.addGauge(
      {
        name: 'session_database_waiting',
        help: 'Requests that wait, by what for: a connection for a transaction or a look-up, or shared work.',
        labelNames: ['kind'],
      },
      async () => [...this.waiting].map(([kind, count]) => ({ labels: { kind }, value: count() })),
    );
    metrics.addGauge(
      {
        name: 'session_database_connections',
        help: 'Connections of the pool, by state.',
        labelNames: ['state'],
      },
      async () => [
        { labels: { state: 'idle' }, value: pool.idleCount },
        { labels: { state: 'busy' }, value: pool.totalCount - pool.idleCount },
      ],
    );
  }

  /** Adds a kind to the gauge of waiting requests. */
  watch(kind: string, count: () => number): void {
    this.waiting.set(kind, count);
  }

  /** Returns a function that counts the events of one kind of shared work. The counters start at zero. */
  counting(kind: string): (what: WorkEvent, by: number) => void {
    for (const { name } of Object.values(COUNTERS)) this.metrics.count(name, { kind }, 0);
    return (what, by) => this.metrics.count(COUNTERS[what].name, { kind }, by);
  }

  retried(reason: 'conflict' | 'connection'): void {
    this.metrics.count(RETRIES, { reason });
  }
}
