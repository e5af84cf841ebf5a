import { Logger } from '@nestjs/common';
import {
  BrokenCircuitError,
  circuitBreaker,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  handleWhen,
} from 'cockatiel';
import type { Dispatcher, Pool } from 'undici';
import type { Metrics } from '../../metrics/metrics.js';
import { type ForwardedAnswer, HomeserverUnavailable } from '../homeserver.port.js';

/** After this many failed calls in a row, nobody waits for the homeserver until it answers a probe. */
const FAILURES_IN_A_ROW = 5;
const PROBE_MS = 1_000;
const CONNECTIONS = 64;
/** Shorter than that of Synapse, so that no request meets a closing connection. */
const KEEP_ALIVE_MS = 30_000;
const MOST_BYTES = 16 * 1_024 * 1_024;

export interface SynapseCall {
  /** Its name in metrics. */
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly path: string;
  readonly authorization: string;
  /** Whether this service calls for itself. A refusal then means a wrong configuration. */
  readonly isTrusted?: boolean;
  readonly body?: object | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Connections to Synapse, kept alive and bounded, with a time limit for each call and a circuit breaker. */
export class SynapseConnection {
  private readonly logger = new Logger('Homeserver');
  private readonly pool: Promise<Pool>;
  private readonly basePath: string;
  private readonly breaker: CircuitBreakerPolicy;
  private probe: NodeJS.Timeout | undefined;
  private up: () => void = () => {};
  /** As the `Server` header says: `Synapse/1.163.2`. */
  server: string | null = null;

  constructor(
    url: string,
    private readonly timeoutMs: number,
    private readonly metrics: Metrics,
    private readonly ping: () => Promise<unknown>,
  ) {
    const { origin, pathname } = new URL(url);
    this.basePath = pathname.replace(/\/$/, '');
    this.pool = openPool(origin, timeoutMs);
    this.breaker = circuitBreaker(
      handleWhen((error) => error instanceof HomeserverUnavailable),
      { halfOpenAfter: PROBE_MS / 2, breaker: new ConsecutiveBreaker(FAILURES_IN_A_ROW) },
    );
    this.breaker.onBreak(() => this.wentDown());
    this.breaker.onReset(() => this.wentUp());
    const up = {
      name: 'session_homeserver_up',
      help: 'Whether the homeserver answers.',
      acrossWorkers: 'min',
    } as const;
    metrics.addGauge(up, async () => [{ labels: {}, value: this.isUp ? 1 : 0 }]);
    metrics.addCounter({
      name: 'session_homeserver_calls_total',
      help: 'Calls of the homeserver, by call and by outcome: ok, refused or failed.',
      labelNames: ['call', 'outcome'],
    });
    for (const call of ['provision_user', 'upsert_device', 'delete_device', 'sync_devices', 'delete_user'])
      for (const outcome of ['ok', 'refused', 'failed']) this.count({ name: call }, outcome, 0);
  }

  get isUp(): boolean {
    return this.breaker.state === CircuitState.Closed;
  }

  whenUp(work: () => void): void {
    this.up = work;
  }

  /**
   * Returns what Synapse answers.
   * @throws {HomeserverUnavailable} if it does not answer in time, answers 5xx, or does not trust this service
   */
  async call(call: SynapseCall): Promise<ForwardedAnswer> {
    try {
      const answer = call.isTrusted
        ? await this.breaker.execute(() => this.send(call))
        : await this.onBehalf(call);
      this.count(call, answer.status < 400 ? 'ok' : 'refused');
      return answer;
    } catch (error) {
      this.count(call, 'failed');
      throw error instanceof BrokenCircuitError ? new HomeserverUnavailable({ cause: error }) : error;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.probe);
    await (await this.pool).destroy();
  }

  /** What one client or token meets there says nothing about others, so it does not open the breaker. */
  private onBehalf(call: SynapseCall): Promise<ForwardedAnswer> {
    if (!this.isUp) throw new HomeserverUnavailable();
    return this.send(call);
  }

  private async send({
    method,
    path,
    authorization,
    isTrusted,
    body,
    signal,
  }: SynapseCall): Promise<ForwardedAnswer> {
    const limit = AbortSignal.timeout(this.timeoutMs);
    const options: Dispatcher.RequestOptions = {
      method,
      path: this.basePath + path,
      headers: { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
    };
    try {
      const { statusCode: status, headers, body: answer } = await (await this.pool).request(options);
      const text = await answer.text();
      const { server } = headers;
      if (typeof server === 'string') this.server = server;
      if (status >= 500) throw new Error(`${path} is answered with ${status}: ${text.slice(0, 200)}`);
      const parsed = { status, body: parse(text) };
      if (isTrusted) requireTrust(path, parsed);
      return parsed;
    } catch (error) {
      // Whoever gave up waiting says nothing about the homeserver.
      if (signal?.aborted && !limit.aborted) throw error;
      throw new HomeserverUnavailable({ cause: error });
    }
  }

  /** Also called when a probe has failed. */
  private wentDown(): void {
    if (this.probe !== undefined) return;
    this.logger.error('The homeserver does not answer: logins on new devices fail, logouts reach it later');
    this.probe = setInterval(() => void this.ping().catch(() => {}), PROBE_MS).unref();
  }

  private wentUp(): void {
    clearInterval(this.probe);
    this.probe = undefined;
    this.logger.log('The homeserver answers again');
    this.up();
  }

  private count({ name }: Pick<SynapseCall, 'name'>, outcome: string, by = 1): void {
    this.metrics.count('session_homeserver_calls_total', { call: name, outcome }, by);
  }
}

/** Loaded here, because a service without a homeserver does not need it. */
async function openPool(origin: string, timeoutMs: number): Promise<Pool> {
  const undici = await import('undici');
  return new undici.Pool(origin, {
    connections: CONNECTIONS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    connect: { timeout: timeoutMs },
    maxResponseSize: MOST_BYTES,
  });
}

/** A wrong secret or another kind of server is no refusal: the call succeeds once the configuration is mended. */
function requireTrust(path: string, { status, body }: ForwardedAnswer): void {
  const isUnknownPath = status === 404 && body['errcode'] !== 'M_NOT_FOUND';
  if ([401, 403, 405].includes(status) || isUnknownPath)
    throw new Error(
      `${path} is answered with ${status}: does Synapse have matrix_authentication_service and the same secret?`,
    );
}

/** Answers without JSON come from something else than an endpoint, such as its 404 page. */
function parse(text: string): Readonly<Record<string, unknown>> {
  if (text === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
