import { Agent, request } from 'undici';

/** Nobody waits longer for an answer. */
const PATIENCE_MS = 60_000;

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

export interface Sent {
  readonly token?: string;
  readonly body?: object;
}

/** Sends requests to one of the nodes, and notes what must never be answered. */
export class Wire {
  readonly violations: string[] = [];
  worstMs = 0;
  private readonly agent = new Agent({
    connections: 64,
    headersTimeout: PATIENCE_MS,
    bodyTimeout: PATIENCE_MS,
  });

  /** @param allowed the statuses of 500 and more that the attack is a reason for */
  constructor(
    private readonly node: () => string,
    private readonly allowed: readonly number[],
  ) {}

  /** Null if the connection was lost: what the service has done by then is not known. */
  async send(method: 'GET' | 'POST', path: string, { token, body }: Sent = {}): Promise<Answer | null> {
    const began = performance.now();
    try {
      const answer = await request(`${this.node()}/_matrix/client/v3${path}`, {
        dispatcher: this.agent,
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.body.text();
      this.worstMs = Math.max(this.worstMs, performance.now() - began);
      this.judge(`${method} ${path}`, answer.statusCode, text, answer.headers['retry-after']);
      return { status: answer.statusCode, body: JSON.parse(text) as Record<string, unknown> };
    } catch (error) {
      if (performance.now() - began >= PATIENCE_MS)
        this.violations.push(`${method} ${path} was never answered`);
      if (error instanceof SyntaxError) this.violations.push(`${method} ${path}: ${error.message}`);
      return null;
    }
  }

  close(): Promise<void> {
    return this.agent.destroy();
  }

  private judge(what: string, status: number, text: string, retryAfter: unknown): void {
    if (status >= 500 && !this.allowed.includes(status)) this.violations.push(`${what}: ${status} ${text}`);
    if (status === 503 && !(Number(retryAfter) > 0)) this.violations.push(`${what}: no Retry-After`);
    if (status >= 400 && !text.startsWith('{"errcode":"M_'))
      this.violations.push(`${what}: ${status} ${text}`);
  }
}
