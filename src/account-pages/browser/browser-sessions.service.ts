import { Injectable } from '@nestjs/common';
import { AccountsService, isActive, requireActive } from '../../accounts/accounts.service.js';
import type { AccountEntity } from '../../accounts/account.entity.js';
import { AuditService } from '../../audit/audit.service.js';
import type { Tx } from '../../database/tx.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import type { LoginProof } from '../../session/login/login-proofs.js';
import { TokenIssuer } from '../../session/token-issuer.js';
import { Clock } from '../../system/clock.js';
import type { BrowserSessionEntity } from './browser-session.entity.js';
import { type BrowserSessionRef, BrowserSessionsStore } from './browser-sessions.store.js';

export const BROWSER_SESSION_LIFE_MS = 12 * 60 * 60_000;
const SEEN_INTERVAL_MS = 60_000;
const USER_AGENT_LIMIT = 512;

/** Who is signed in in a browser. */
export interface SignedIn {
  readonly session: BrowserSessionEntity;
  readonly account: AccountEntity;
}

/** Begins, finds and ends the sessions of browsers. */
@Injectable()
export class BrowserSessions {
  constructor(
    private readonly store: BrowserSessionsStore,
    private readonly accounts: AccountsService,
    private readonly tokens: TokenIssuer,
    private readonly audit: AuditService,
    private readonly clock: Clock,
  ) {}

  /**
   * Begins a session. The account must be held.
   * @returns the value of the cookie
   */
  async begin(tx: Tx, userId: string, origin: Origin): Promise<string> {
    const { token, digest } = this.tokens.issue('mxb', userId);
    await this.store.insert(tx, {
      userId,
      sessionDigest: digest,
      expiresAt: new Date(tx.startedAt.getTime() + BROWSER_SESSION_LIFE_MS),
      address: origin.address,
      userAgent: origin.userAgent?.slice(0, USER_AGENT_LIMIT) ?? null,
    });
    this.audit.record(tx, 'browser_login', [{ userId }], () => origin);
    return token;
  }

  /**
   * Begins the session of somebody who has proven who they are. A user whom another system knows gets an account.
   * @returns the value of the cookie
   * @throws {MatrixError} `M_FORBIDDEN` alike for everybody who may not sign in on pages, and if the password has
   *   changed since the proof
   */
  async beginProven(tx: Tx, { userId, credential, mayBeNew }: LoginProof, origin: Origin): Promise<string> {
    if (mayBeNew) await this.accounts.ensure(tx, { userId, kind: 'user', passwordHash: null }, origin);
    const account = await this.accounts.hold(tx, userId);
    const isSame = credential === null || account?.passwordHash === credential;
    // Guests have no password, and the users of bridges are signed in by these.
    if (!isActive(account) || !isSame || account.kind !== 'user')
      throw MatrixError.forbidden('Invalid username or password');
    return this.begin(tx, userId, origin);
  }

  /** Who is signed in with this cookie; `null` for nobody, and for a user who may not act. */
  async find(cookie: string): Promise<SignedIn | null> {
    const presented = this.tokens.read('mxb', cookie);
    if (presented === null) return null;
    const now = this.clock.now();
    const session = await this.store.find({ userId: presented.userId, sessionDigest: presented.digest }, now);
    if (session === null) return null;
    const account = await this.accounts.findExactly(session.userId);
    if (!isActive(account)) return null;
    if (now.getTime() - session.seenAt.getTime() > SEEN_INTERVAL_MS) await this.store.see(session, now);
    return { session, account };
  }

  /**
   * Holds the account and the session of somebody who acts on a page.
   * @throws {MatrixError} 403 `M_FORBIDDEN` if the session has ended in the meantime; as `requireActive` does
   */
  async hold(tx: Tx, session: BrowserSessionRef): Promise<void> {
    requireActive(await this.accounts.hold(tx, session.userId));
    await this.requireAlive(tx, session);
  }

  /** Same as {@link hold}, but keeps sessions of the user from beginning until the transaction ends. */
  async lock(tx: Tx, session: BrowserSessionRef): Promise<void> {
    requireActive(await this.accounts.lock(tx, session.userId));
    await this.requireAlive(tx, session);
  }

  /** The browsers that a user is signed in in, the latest first. */
  list(userId: string): Promise<BrowserSessionEntity[]> {
    return this.store.list(userId, this.clock.now());
  }

  /** Records that the user has just proved who they are. */
  async confirm(session: BrowserSessionRef): Promise<void> {
    await this.store.confirm(session, this.clock.now());
  }

  /** Ends a session. The second call does nothing. */
  async end(tx: Tx, session: BrowserSessionRef, origin: Origin): Promise<void> {
    if (await this.store.delete(tx, session))
      this.audit.record(tx, 'browser_logout', [{ userId: session.userId }], () => origin);
  }

  /** Ends the session that the browser had before this one. */
  async endPrevious(tx: Tx, previous: SignedIn | null, origin: Origin): Promise<void> {
    if (previous !== null) await this.end(tx, previous.session, origin);
  }

  /** Lets a session outlive the end of all others in this transaction. */
  keep(tx: Tx, session: BrowserSessionRef): void {
    this.store.keep(tx, session);
  }

  private async requireAlive(tx: Tx, session: BrowserSessionRef): Promise<void> {
    if (!(await this.store.hold(tx, session))) throw MatrixError.forbidden('You have been signed out');
  }
}
