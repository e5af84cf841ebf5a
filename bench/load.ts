import autocannon from 'autocannon';
import type { Contestant } from './contestant.js';

const FORM = 'application/x-www-form-urlencoded';

/** One HTTP request. */
export interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly token?: string;
  /** Sent as JSON; a string is sent as a form. */
  readonly body?: object | string;
}

/** One run of load. */
export interface Measured {
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** CPU of the server's process, in microseconds for each request. */
  readonly cpuUs: number;
}

/** Sends every call once, over so many connections, and fails unless all are answered with 200. */
export async function load(
  contestant: Pick<Contestant, 'name' | 'url'> & { usage(): Promise<{ readonly cpuUs: number }> },
  calls: readonly Call[],
  connections: number,
): Promise<Measured> {
  let next = 0;
  const latencies: number[] = [];
  const statuses = new Map<number, number>();
  const before = await contestant.usage();
  const started = performance.now();
  // autocannon itself looks at the clock once a second.
  let answered = started;
  await new Promise<void>((resolve, reject) => {
    const instance = autocannon(
      {
        url: contestant.url,
        connections: Math.min(connections, calls.length),
        amount: calls.length,
        timeout: 60,
        requests: [{ setupRequest: (request) => toRequest(request, calls[next++ % calls.length]!) }],
      },
      (error: unknown) => (error ? reject(error) : resolve()),
    );
    instance.on('response', (_client, status, _bytes, milliseconds) => {
      answered = performance.now();
      latencies.push(milliseconds);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    });
  });
  const seconds = (answered - started) / 1_000;
  const after = await contestant.usage();
  if (statuses.get(200) !== calls.length) {
    const found = JSON.stringify(Object.fromEntries(statuses));
    throw new Error(
      `${contestant.name} answered ${calls[0]!.path} with ${found}, not ${calls.length} times 200`,
    );
  }
  latencies.sort((one, other) => one - other);
  const at = (share: number) => latencies[Math.floor((latencies.length - 1) * share)]!;
  return {
    perSecond: calls.length / seconds,
    p50: at(0.5),
    p99: at(0.99),
    cpuUs: (after.cpuUs - before.cpuUs) / calls.length,
  };
}

function toRequest(request: autocannon.Request, { method, path, token, body }: Call): autocannon.Request {
  return {
    ...request,
    method,
    path,
    headers: {
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'Content-Type': typeof body === 'string' ? FORM : 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  };
}
