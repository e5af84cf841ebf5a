import type { Worker } from 'node:cluster';
import { type ManagementAnswer, type ManagementRequest, NO_SUCH_PATH } from '../../metrics/management.js';
import type { MetricValues } from '../../metrics/metrics.js';
import { isReply, type Question, type Reply } from '../../metrics/worker-channel.js';

/** Less than a scrape of Prometheus may take. */
const ANSWER_MS = 5_000;
/** Values of these go on when their worker has ended; what a gauge shows ends with it. */
const LASTING = new Set(['counter', 'histogram']);

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
  /** What each worker counted when it was last asked. */
  private readonly latest = new Map<Worker, MetricValues>();
  /** What workers that have ended had counted: a sum that falls would be read as a restart of all. */
  private past: MetricValues = [];

  add(worker: Worker): void {
    this.workers.add(worker);
    worker.on('message', (message: unknown) => {
      if (isReply(message)) this.waiting.get(message.reply)?.give(message.answer);
    });
    worker.once('disconnect', () => void this.remove(worker));
  }

  async answer(request: ManagementRequest): Promise<ManagementAnswer> {
    if (request.method === 'GET' && request.path === '/metrics') return this.metrics();
    // A change is one of all workers.
    const asked = request.method === 'GET' ? [...this.workers].slice(0, 1) : [...this.workers];
    const answers = await Promise.all(asked.map((worker) => this.ask(worker, request)));
    return (
      (answers.find((one) => one !== null) as ManagementAnswer | undefined) ?? {
        ...NO_SUCH_PATH,
        status: 503,
      }
    );
  }

  private async metrics(): Promise<ManagementAnswer> {
    const { AggregatorRegistry } = await import('prom-client');
    await Promise.all(
      [...this.workers].map(async (worker) => {
        const values = (await this.ask(worker, 'metrics')) as MetricValues | null;
        if (values !== null && this.workers.has(worker)) this.latest.set(worker, values);
      }),
    );
    const sum = AggregatorRegistry.aggregate([...this.latest.values(), this.past]);
    return { status: 200, contentType: sum.contentType, text: await sum.metrics() };
  }

  /** `null` if the worker does not answer in time, or has ended. */
  private ask(worker: Worker, asked: Question['asked']): Promise<Reply['answer']> {
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

  private async remove(worker: Worker): Promise<void> {
    this.workers.delete(worker);
    for (const { worker: asked, give } of this.waiting.values()) if (asked === worker) give(null);
    const counted = (this.latest.get(worker) ?? []).filter(({ type }) => LASTING.has(String(type)));
    this.latest.delete(worker);
    const { AggregatorRegistry } = await import('prom-client');
    this.past = await AggregatorRegistry.aggregate([this.past, counted]).getMetricsAsJSON();
  }
}
