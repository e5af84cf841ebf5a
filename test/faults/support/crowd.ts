import { setTimeout as sleep } from 'node:timers/promises';
import { PASSWORD, someKeys, uniqueUsername } from '../../../src/testing/matrix-client.js';
import type { Held, Ledger } from './ledger.js';
import type { Answer, Wire } from './wire.js';

/** As long as a client waits before it tries again. */
const PAUSE_MS = 30;
const KEYS = 3;

/** Clients that sign in, upload, claim, refresh and sign out at random, and write down what they are told. */
export class Crowd {
  private isOver = false;
  private readonly clients: Promise<void>[];

  constructor(
    private readonly wire: Wire,
    private readonly ledger: Ledger,
    size: number,
  ) {
    ledger.keepSecret(PASSWORD);
    this.clients = Array.from({ length: size }, () => this.live());
  }

  /** Lets everybody finish what they have begun. */
  async end(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.clients);
  }

  private async live(): Promise<void> {
    while (!this.isOver) {
      const user = await this.register();
      // After a logout of all sessions that nobody has answered, a later login of the same user may be ended by it.
      if (user !== null) await this.useUntilUnsure(user);
    }
  }

  private async useUntilUnsure(user: string): Promise<void> {
    const mine: Held[] = [];
    while (!this.isOver) {
      const live = mine.filter(({ fate }) => fate === 'live');
      const one = live[Math.floor(Math.random() * live.length)];
      const dice = Math.random();
      if (one === undefined || (dice < 0.2 && live.length < 5)) await this.login(user, mine);
      else if (dice < 0.4) await this.claim(one);
      else if (dice < 0.55) await this.refresh(one);
      else if (dice < 0.65) await this.look(one);
      else if (dice < 0.97) await this.logout('/logout', one, [one]);
      else if (!(await this.logout('/logout/all', one, live))) return;
    }
  }

  private async register(): Promise<string | null> {
    const username = uniqueUsername();
    const body = { username, password: PASSWORD, auth: { type: 'm.login.dummy' }, inhibit_login: true };
    return (await this.ask('/register', { body }))?.status === 200 ? username : null;
  }

  private async login(user: string, mine: Held[]): Promise<void> {
    const identifier = { type: 'm.id.user', user };
    const body = { type: 'm.login.password', identifier, password: PASSWORD, refresh_token: true };
    const answer = await this.ask('/login', { body });
    if (answer?.status !== 200) return;
    const held = this.ledger.begin(answer.body);
    mine.push(held);
    const { fallback_keys: _, ...keys } = someKeys({ ...held, accessToken: '' }, KEYS);
    // Uploading the same keys again changes nothing, so a client repeats what was not answered.
    while (!this.isOver) {
      held.sent = KEYS;
      const uploaded = await this.ask('/keys/upload', { token: held.access, body: keys });
      if (uploaded?.status === 401) this.refused('an upload', held);
      if (uploaded !== null && uploaded.status < 500) {
        if (uploaded.status === 200) held.uploaded = KEYS;
        return;
      }
    }
  }

  /** Claims a key of somebody else. */
  private async claim({ access }: Held): Promise<void> {
    const candidates = this.ledger.sessions
      .slice(-50)
      .filter(({ fate, uploaded }) => fate === 'live' && uploaded > 0);
    const target = candidates[Math.floor(Math.random() * candidates.length)];
    if (target === undefined) return;
    const body = { one_time_keys: { [target.userId]: { [target.deviceId]: 'signed_curve25519' } } };
    const answer = await this.ask('/keys/claim', { token: access, body });
    if (answer === null || answer.status >= 500) {
      target.lostClaims += 1;
      return;
    }
    const claimed = answer.body['one_time_keys'] as Record<string, Record<string, object>> | undefined;
    for (const keyId of Object.keys(claimed?.[target.userId]?.[target.deviceId] ?? {})) {
      target.claimed += 1;
      this.ledger.claim(target, keyId);
    }
  }

  /** A client that gets no answer repeats the refresh, which must work until the new token is used. */
  private async refresh(one: Held): Promise<void> {
    while (!this.isOver) {
      const answer = await this.ask('/refresh', { body: { refresh_token: one.refresh } });
      if (answer?.status === 401) this.refused('a refresh', one);
      if (answer !== null && answer.status < 500) {
        if (answer.status !== 200) return;
        one.access = String(answer.body['access_token']);
        one.refresh = String(answer.body['refresh_token']);
        this.ledger.keepSecret(one.access, one.refresh);
        return;
      }
    }
  }

  private async look(one: Held): Promise<void> {
    const answer = await this.ask('/account/whoami', { token: one.access }, 'GET');
    if (answer?.status === 401) this.refused('whoami', one);
  }

  /** @returns whether it is known what became of the sessions */
  private async logout(path: '/logout' | '/logout/all', by: Held, ends: readonly Held[]): Promise<boolean> {
    const answer = await this.ask(path, { token: by.access });
    if (answer?.status === 401) this.refused(path, by);
    const isKnown = answer?.status === 200;
    for (const one of ends) one.fate = isKnown ? 'ended' : 'unknown';
    return isKnown;
  }

  private refused(what: string, { userId, deviceId }: Held): void {
    this.ledger.violations.push(`${what} of ${userId} ${deviceId}, which is signed in, was refused`);
  }

  private async ask(
    path: string,
    sent: { readonly token?: string; readonly body?: object },
    method: 'GET' | 'POST' = 'POST',
  ): Promise<Answer | null> {
    const answer = await this.wire.send(method, path, sent);
    this.ledger.count(`${path} ${answer?.status ?? 'lost'}`);
    if (answer === null || answer.status >= 500) await sleep(PAUSE_MS);
    return answer;
  }
}
