import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { OwnPostgres } from '../../support/own-postgres.js';
import { freePort, ServiceProcess } from '../../support/service-process.js';
import { peakMb } from './attack.js';
import { Listener } from './listener.js';

/** Nothing takes longer to recover. */
const PATIENCE_MS = 30_000;

type Variables = Readonly<Record<string, string>>;

/** What PostgreSQL stands on. */
export interface Ground {
  readonly settings?: Variables;
  readonly directory?: string;
  /** What happens between its start and that of the first node, which gets the variables. */
  readonly prepare?: (postgres: OwnPostgres) => Promise<Variables>;
}

/** PostgreSQL, nodes of the service as an operator starts them, and who hears of their events. */
export class Stage {
  static async set(
    size: number,
    variables: Variables = {},
    { settings = {}, directory, prepare = async () => ({}) }: Ground = {},
  ): Promise<Stage> {
    const [postgres, listener] = await Promise.all([
      OwnPostgres.start(settings, directory),
      Listener.start(),
    ]);
    const stage = new Stage(postgres, listener, { ...variables, ...(await prepare(postgres)) });
    for (let at = 0; at < size; at += 1) stage.ports.push(await freePort());
    for (let at = 0; at < size; at += 1) await stage.start(at);
    return stage;
  }

  readonly ports: number[] = [];
  readonly nodes: ServiceProcess[] = [];
  private readonly logs: string[] = [];
  private peak = 0;
  private turn = 0;
  /** A load balancer, if one stands before the nodes. */
  front: string | undefined;

  private constructor(
    /** The one that counts: after a promotion, another one. */
    public postgres: OwnPostgres,
    readonly listener: Listener,
    private readonly variables: Variables,
  ) {}

  /** The nodes in turn, as a load balancer would choose them. */
  readonly anyNode = (): string => {
    if (this.front !== undefined) return this.front;
    this.turn += 1;
    return this.urlOf(this.turn % this.ports.length);
  };

  urlOf(at: number): string {
    return `http://127.0.0.1:${this.ports[at]}`;
  }

  async start(at: number): Promise<void> {
    this.nodes[at] = await ServiceProcess.start({
      DATABASE_URL: this.postgres.url,
      PORT: String(this.ports[at]),
      ...this.listener.variables,
      ...this.variables,
    });
  }

  /** Ends a node, and returns its exit code: null after SIGKILL. */
  async end(at: number, signal: NodeJS.Signals): Promise<number | null> {
    const node = this.nodes[at]!;
    await this.measure(node);
    const code = await node.stop(signal);
    this.logs.push(node.words);
    return code;
  }

  /** Waits until every node answers as if nothing had happened. */
  async recover(): Promise<void> {
    const until = performance.now() + PATIENCE_MS;
    const isReady = async (at: number) => {
      try {
        return (await fetch(`${this.urlOf(at)}/health/ready`)).ok;
      } catch {
        return false;
      }
    };
    for (const at of this.ports.keys())
      while (!(await isReady(at))) {
        if (performance.now() > until)
          throw new Error(`Node ${at} does not recover:\n${this.nodes[at]!.words.slice(-5_000)}`);
        await sleep(50);
      }
  }

  /** Opens connections until PostgreSQL refuses further ones. */
  async useUpConnections(): Promise<Client[]> {
    const others: Client[] = [];
    try {
      for (;;) others.push(await this.postgres.client());
    } catch {
      return others;
    }
  }

  /** All that every node has printed. */
  allWords(): string[] {
    return [...this.logs, ...this.nodes.filter(({ isRunning }) => isRunning).map(({ words }) => words)];
  }

  /** The most that one process has held. */
  async peakMb(): Promise<number> {
    for (const node of this.nodes) await this.measure(node);
    return this.peak;
  }

  async clear(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop('SIGKILL')));
    await this.postgres.stop();
    await this.listener.stop();
  }

  private async measure(node: ServiceProcess): Promise<void> {
    if (node.isRunning) this.peak = Math.max(this.peak, await peakMb(node.child.pid!));
  }
}
