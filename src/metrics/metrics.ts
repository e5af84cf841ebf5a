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

/** What a metric is, as Prometheus wants it described. */
export interface MetricDescription {
  /** Lower-case words with underscores, such as `acme_reports_total`; the service's own begin with `session_`. */
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
}

/** One value of a gauge. */
export interface GaugeValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * What an operator's monitoring may read at `METRICS_PORT`, in Prometheus's text format; where nobody reads them,
 * nothing is counted. Counters count since the process started.
 *
 * @example
 * ```ts
 * @Injectable()
 * class Reports implements OnModuleInit {
 *   constructor(private readonly metrics: Metrics) {}
 *   onModuleInit() {
 *     this.metrics.addCounter({ name: 'acme_reports_total', help: 'Reports, by kind.', labelNames: ['kind'] });
 *   }
 *   report() {
 *     this.metrics.count('acme_reports_total', { kind: 'stolen' });
 *   }
 * }
 * ```
 */
export class Metrics {
  private readonly registry: Registry | undefined;
  /** Every metric that there is, with its labels. Checked where nobody reads them, too, so that mistakes show early. */
  private readonly known = new Map<string, ReadonlySet<string>>();
  private readonly counters = new Map<string, Counter>();

  /**
   * @param client `null`: nobody reads them, so nothing is counted
   * @internal
   */
  constructor(private readonly client: Client | null) {
    if (client !== null) this.registry = new client.Registry();
    for (const [name, counter] of Object.entries(COUNTERS)) this.addCounter({ name, ...counter });
  }

  /**
   * A counter, for a module to add when it is initialised (`onModuleInit`).
   * @throws {Error} for a name that is taken, and for a name or a label that Prometheus does not allow
   */
  addCounter(description: MetricDescription): void {
    const described = this.describe(description);
    if (this.client !== null) this.counters.set(described.name, new this.client.Counter(described));
  }

  /**
   * Counts.
   * @throws {Error} for a counter or a label that was not added, and for a negative number
   */
  count(name: string, labels: Readonly<Record<string, string>> = {}, by = 1): void {
    const known = this.known.get(name);
    if (known === undefined) throw new Error(`There is no counter ${name}: add it first`);
    const unknown = Object.keys(labels).find((label) => !known.has(label));
    if (unknown !== undefined) throw new Error(`The counter ${name} has no label ${unknown}`);
    if (!(by >= 0)) throw new Error(`The counter ${name} cannot count ${by}`);
    this.counters.get(name)?.inc(labels, by);
  }

  /**
   * Values that are asked for when the metrics are read. Where `read` throws or rejects, as it does while the database
   * is away, the gauge has no value then; the other metrics go on.
   * @throws {Error} for a name that is taken, and for a name or a label that Prometheus does not allow
   */
  addGauge(description: MetricDescription, read: () => Promise<readonly GaugeValue[]>): void {
    const described = this.describe(description);
    if (this.client === null) return;
    const gauge: Gauge = new this.client.Gauge({
      ...described,
      collect: async () => {
        gauge.reset();
        try {
          for (const { labels, value } of await read()) gauge.set(labels, value);
        } catch {
          // Without the database there is no value, and the page must be read all the same.
        }
      },
    });
  }

  private describe({ name, help, labelNames = [] }: MetricDescription) {
    const wrong = [name, ...labelNames].find((word) => !/^[a-z][a-z0-9_]*$/.test(word));
    if (wrong !== undefined) throw new Error(`${wrong} must be a lower-case word, with underscores`);
    if (this.known.has(name)) throw new Error(`There is a metric ${name} already`);
    this.known.set(name, new Set(labelNames));
    return { name, help, labelNames: [...labelNames], registers: [this.registry!] };
  }

  /** @internal */
  get contentType(): string {
    return this.registry?.contentType ?? 'text/plain';
  }

  /** @internal */
  async text(): Promise<string> {
    return (await this.registry?.metrics()) ?? '';
  }
}
