import type { Counter, Gauge, Histogram, Registry } from 'prom-client';

type Client = typeof import('prom-client');

/** The values of all metrics of a process. */
export type MetricValues = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

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

type Kind = 'counter' | 'gauge' | 'histogram';

interface Known {
  readonly kind: Kind;
  readonly labels: ReadonlySet<string>;
}

/** The description of a metric, as Prometheus requires it. */
export interface MetricDescription {
  /** Lower-case words with underscores, such as `acme_reports_total`. Those of the service begin with `session_`. */
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
  /**
   * How the values of several workers (`WORKERS`) become one. Default: their sum. A gauge that reads the same in each
   * of them, such as a number of rows, takes `max`.
   */
  readonly acrossWorkers?: 'sum' | 'max' | 'min';
}

/** One value of a gauge. */
export interface GaugeValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * The metrics served at `METRICS_PORT`, in Prometheus's text format. Without that port nothing is counted. Counters
 * start at zero with the process.
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
  /** Every metric, with its labels. Checked even if metrics are not served, so that mistakes show early. */
  private readonly known = new Map<string, Known>();
  private readonly counters = new Map<string, Counter>();
  private readonly histograms = new Map<string, Histogram>();

  /**
   * @param client `null` if metrics are not served; nothing is counted then
   * @internal
   */
  constructor(private readonly client: Client | null) {
    if (client !== null) {
      this.registry = new client.Registry();
      client.collectDefaultMetrics({ register: this.registry });
    }
    for (const [name, counter] of Object.entries(COUNTERS)) this.addCounter({ name, ...counter });
  }

  /**
   * Adds a counter. Modules call it when they are initialised (`onModuleInit`).
   * @throws {Error} for a name that is taken, and for a name or a label that Prometheus does not allow
   */
  addCounter(description: MetricDescription): void {
    const described = this.describe('counter', description);
    if (this.client !== null) this.counters.set(described.name, new this.client.Counter(described));
  }

  /**
   * Increases a counter.
   * @throws {Error} for a counter or a label that was not added, and for a negative number
   */
  count(name: string, labels: Readonly<Record<string, string>> = {}, by = 1): void {
    this.requireKnown('counter', name, labels);
    if (!(by >= 0)) throw new Error(`The counter ${name} cannot count ${by}`);
    this.counters.get(name)?.inc(labels, by);
  }

  /**
   * Adds a gauge, whose values `read` gives each time the metrics are read. If `read` throws or rejects, as during a
   * database outage, the gauge has no value that time. Other metrics are not affected.
   * @throws {Error} for a name that is taken, and for a name or a label that Prometheus does not allow
   */
  addGauge(description: MetricDescription, read: () => Promise<readonly GaugeValue[]>): void {
    const described = this.describe('gauge', description);
    if (this.client === null) return;
    const gauge: Gauge = new this.client.Gauge({
      ...described,
      collect: async () => {
        gauge.reset();
        try {
          for (const { labels, value } of await read()) gauge.set(labels, value);
        } catch {
          // During a database outage this gauge has no value, but the other metrics must stay readable.
        }
      },
    });
  }

  /**
   * Adds a histogram.
   * @param buckets upper bounds, in the unit of the metric
   * @throws {Error} for a name that is taken, and for a name or a label that Prometheus does not allow
   */
  addHistogram(description: MetricDescription, buckets: readonly number[]): void {
    const described = this.describe('histogram', description);
    if (this.client === null) return;
    this.histograms.set(described.name, new this.client.Histogram({ ...described, buckets: [...buckets] }));
  }

  /**
   * Adds a value to a histogram.
   * @throws {Error} for a histogram or a label that was not added
   */
  observe(name: string, labels: Readonly<Record<string, string>>, value: number): void {
    this.requireKnown('histogram', name, labels);
    this.histograms.get(name)?.observe(labels, value);
  }

  private requireKnown(kind: Kind, name: string, labels: Readonly<Record<string, string>>): void {
    const known = this.known.get(name);
    if (known?.kind !== kind) throw new Error(`There is no ${kind} ${name}: add it first`);
    const unknown = Object.keys(labels).find((label) => !known.labels.has(label));
    if (unknown !== undefined) throw new Error(`The ${kind} ${name} has no label ${unknown}`);
  }

  private describe(
    kind: Kind,
    { name, help, labelNames = [], acrossWorkers: aggregator = 'sum' }: MetricDescription,
  ) {
    const wrong = [name, ...labelNames].find((word) => !/^[a-z][a-z0-9_]*$/.test(word));
    if (wrong !== undefined) throw new Error(`${wrong} must be a lower-case word, with underscores`);
    if (this.known.has(name)) throw new Error(`There is a metric ${name} already`);
    this.known.set(name, { kind, labels: new Set(labelNames) });
    return { name, help, labelNames: [...labelNames], registers: [this.registry!], aggregator };
  }

  /** @internal */
  get contentType(): string {
    return this.registry?.contentType ?? 'text/plain';
  }

  /**
   * What a process that adds up the metrics of several needs.
   * @internal
   */
  async values(): Promise<MetricValues> {
    return (await this.registry?.getMetricsAsJSON()) ?? [];
  }

  /** @internal */
  async text(): Promise<string> {
    return (await this.registry?.metrics()) ?? '';
  }
}
