import type { Counter, Gauge, Registry } from 'prom-client';

type Client = typeof import('prom-client');

const COUNTERS = {
  session_event_deliveries_total: {
    help: 'Attempts to deliver an event to a subscriber, by outcome: delivered, failed or buried.',
    labelNames: ['subscriber', 'outcome'],
  },
  session_reconciler_problems_total: {
    help: 'Rows that should be impossible, by kind: found, and repaired.',
    labelNames: ['problem', 'outcome'],
  },
};
type CounterName = keyof typeof COUNTERS;

/** What an operator's monitoring may read, in Prometheus's text format. Counters count since the process started. */
export class Metrics {
  private readonly registry: Registry | undefined;
  private readonly counters = new Map<string, Counter>();

  /** @param client `null`: nobody reads them, so nothing is counted */
  constructor(private readonly client: Client | null) {
    if (client === null) return;
    this.registry = new client.Registry();
    for (const [name, counter] of Object.entries(COUNTERS))
      this.counters.set(name, new client.Counter({ name, ...counter, registers: [this.registry] }));
  }

  count(name: CounterName, labels: Readonly<Record<string, string>>, by = 1): void {
    this.counters.get(name)?.inc(labels, by);
  }

  /** Values of subscribers, that are asked for when the metrics are read. */
  gauge(
    name: string,
    help: string,
    read: () => Promise<readonly { subscriber: string; count: number }[]>,
  ): void {
    if (this.client === null) return;
    const gauge: Gauge<'subscriber'> = new this.client.Gauge({
      name,
      help,
      labelNames: ['subscriber'],
      registers: [this.registry!],
      collect: async () => {
        gauge.reset();
        // Without the database there is no value; the other metrics go on.
        for (const { subscriber, count } of await read().catch(() => [])) gauge.set({ subscriber }, count);
      },
    });
  }

  get contentType(): string {
    return this.registry?.contentType ?? 'text/plain';
  }

  async text(): Promise<string> {
    return (await this.registry?.metrics()) ?? '';
  }
}
