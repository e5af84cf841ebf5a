import { setTimeout as sleep } from 'node:timers/promises';
import type { SeededSession } from '../../../bench/seed.js';
import { Wire } from './wire.js';

const PAUSE_MS = 50;

/** Somebody who uses the service as always while it is attacked: asks who they are, and signs out. */
export class Probe {
  asked = 0;
  readonly violations: string[] = [];
  private readonly wire: Wire;
  private isOver = false;
  private readonly using: Promise<void>;

  constructor(
    node: () => string,
    private readonly sessions: SeededSession[],
  ) {
    this.wire = new Wire(node, []);
    this.using = this.use();
  }

  /** The longest that it waited for an answer. */
  get worstMs(): number {
    return this.wire.worstMs;
  }

  async end(): Promise<void> {
    this.isOver = true;
    await this.using;
    this.violations.push(...this.wire.violations);
    await this.wire.close();
  }

  private async use(): Promise<void> {
    const { token } = this.sessions.pop()!.access;
    while (!this.isOver) {
      await this.expect(200, 'GET', '/account/whoami', token);
      const leaving = this.sessions.pop();
      if (leaving !== undefined) {
        await this.expect(200, 'POST', '/logout', leaving.access.token);
        await this.expect(401, 'GET', '/account/whoami', leaving.access.token);
      }
      await sleep(PAUSE_MS);
    }
  }

  private async expect(status: number, method: 'GET' | 'POST', path: string, token: string): Promise<void> {
    this.asked += 1;
    const answer = await this.wire.send(method, path, { token });
    if (answer?.status !== status) this.violations.push(`${path} got ${answer?.status ?? 'no answer'}`);
  }
}
