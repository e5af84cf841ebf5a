import type { Worker } from 'node:cluster';
import { type ManagementAnswer, type ManagementRequest, NO_SUCH_PATH } from '../../metrics/management.js';
import type { MetricValues } from '../../metrics/metrics.js';
import { isReply, type Question, type Reply, WORKER_EXITS } from '../../metrics/worker-channel.js';

/** Less than a scrape of Prometheus may take. */
const ANSWER_MS = 5_000;
/** Values of these go on when their worker has ended; what a gauge shows ends with it. */
const LASTING = new Set(['counter', 'histogram']);
/** So many dead workers are remembered one by one. */
const MOST_PAST = 8;
const STARTED_S = Math.round(Date.now() / 1_000 - process.uptime());
/** prom-client leaves it out of a sum. */
const START = `# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds ${STARTED_S}
`;

/** A question that has no answer yet. */
interface Waiting {
  readonly worker: Worker;
  readonly give: (answer: Reply['answer']) => void;
}

/** Answers at the port for operators for all workers: it adds up their metrics, and asks one of them for the rest. */
export class WorkerManagement {
  private readonly workers = new Set<Worker>();
  private readonly waiting = new Map<number, Waiting>();
  private asked = 0;
  private exits = 0;
  /** What each worker counted when it was last asked. */
  private readonly latest = new Map<Worker, MetricValues>();
  /** What workers that have ended had counted: a sum that falls would be read as a restart of all. */
  private readonly past: MetricValues[] = [];
  private isGathering = false;

  add(worker: Worker): void {
    this.workers.add(worker);
    worker.on('message', (message: unknown) => {
      if (isReply(message)) this.waiting.get(message.reply)?.give(message.answer);
    });
    worker.once('disconnect', () => this.remove(worker));
  }

  /** Counts a worker that has ended, and was not asked to. */
  countExit(): void {
    this.exits += 1;
  }

  async answer(request: ManagementRequest): Promise<ManagementAnswer> {
    if (request.method === 'GET' && request.path === '/metrics') return this.metrics();
    // A change is one of all workers.
    const asked = request.method === 'GET' ? [...this.workers].slice(0, 1) : [...this.workers];
    const answers = await Promise.all(asked.map((worker) => this.ask(worker, request)));
    return (answers.find((one) => one !== null) ?? { ...NO_SUCH_PATH, status: 503 }) as ManagementAnswer;
  }

  /** Asks one worker. `null` if it does not answer in time, or has ended. */
  ask(worker: Worker, asked: Question['asked']): Promise<Reply['answer']> {
    const question = (this.asked += 1);
    return new Promise<Reply['answer']>((resolve) => {
      const timer = setTimeout(() => resolve(null), ANSWER_MS);
      const give = (answer: Reply['answer']) => {
        clearTimeout(timer);
        resolve(answer);
      };
      this.waiting.set(question, { worker, give });
      if (!worker.isConnected()) return give(null);
      worker.send({ question, asked } satisfies Question, (error) => error && give(null));
    }).finally(() => this.waiting.delete(question));
  }

  private async metrics(): Promise<ManagementAnswer> {
    const { AggregatorRegistry } = await import('prom-client');
    await Promise.all(
      [...this.workers].map(async (worker) => {
        const values = (await this.ask(worker, 'metrics')) as MetricValues | null;
        if (values !== null && this.workers.has(worker)) this.latest.set(worker, values);
      }),
    );
    const sum = AggregatorRegistry.aggregate([...this.latest.values(), ...this.past, this.own()]);
    await this.gatherPast({ AggregatorRegistry });
    return { status: 200, contentType: sum.contentType, text: START + (await sum.metrics()) };
  }

  /** What the primary itself counts. */
  private own(): MetricValues {
    const exits = { type: 'counter', aggregator: 'sum', values: [{ value: this.exits, labels: {} }] };
    return [{ ...WORKER_EXITS, ...exits }] as unknown as MetricValues;
  }

  /** Makes one of many, so that dead workers do not fill the memory. Others may die meanwhile. */
  private async gatherPast({
    AggregatorRegistry,
  }: Pick<typeof import('prom-client'), 'AggregatorRegistry'>): Promise<void> {
    const many = this.past.length;
    if (many <= MOST_PAST || this.isGathering) return;
    this.isGathering = true;
    const one = await AggregatorRegistry.aggregate(this.past.slice(0, many)).getMetricsAsJSON();
    this.past.splice(0, many, one);
    this.isGathering = false;
  }

  private remove(worker: Worker): void {
    this.workers.delete(worker);
    for (const { worker: asked, give } of this.waiting.values()) if (asked === worker) give(null);
    const counted = (this.latest.get(worker) ?? []).filter(({ type }) => LASTING.has(String(type)));
    this.latest.delete(worker);
    if (counted.length > 0) this.past.push(counted);
  }
}
