import { Injectable } from '@nestjs/common';
import type { AccountEntity } from '../../accounts/account.entity.js';
import { AccountsService, requireActive } from '../../accounts/accounts.service.js';
import type { Decided, SharedTransaction } from '../../database/shared-transaction.js';
import type { Tx } from '../../database/tx.js';
import { EventBus } from '../../events/event-bus.js';
import { originsByDevice } from '../../events/origins.js';
import { SessionsEnded } from '../../events/sessions-ended.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import type { RefreshTokenEntity } from '../refresh-token.entity.js';
import { EXPIRED_TOKEN_KEPT_MS, type TokenPair } from '../session.rules.js';
import { type Rotated, SessionStore } from '../session.store.js';
import { TokenIssuer } from '../token-issuer.js';
import type { WireToken } from '../token.rules.js';

/** One request for a new pair of tokens. */
export interface Refresh {
  readonly presented: WireToken;
  readonly origin: Origin;
  /** The OAuth 2.0 client that asks; `null` for the refresh API. */
  readonly client: RefreshingClient | null;
}

/** An OAuth 2.0 client that refreshes a session of its own. */
export interface RefreshingClient {
  readonly clientId: string;
  /** The scope tokens that it asks for; `null`: those of the session. */
  readonly scope: readonly string[] | null;
}

/** The outcome: a new pair, a refusal, or the end of a session whose token was stolen. */
export type Refreshed =
  | { readonly kind: 'rotated'; readonly rotation: Rotated }
  | { readonly kind: 'refused' }
  /** The client asks for a scope that the session does not have. */
  | { readonly kind: 'beyond_scope' }
  | { readonly kind: 'replayed'; readonly session: RefreshTokenEntity; readonly origin: Origin };

type Replayed = Extract<Refreshed, { kind: 'replayed' }>;

const REFUSED: Refreshed = { kind: 'refused' };

/** Accounts by user ID, and sessions by family. */
interface Locked {
  readonly accounts: ReadonlyMap<string, AccountEntity>;
  readonly sessions: ReadonlyMap<string, RefreshTokenEntity>;
}

/** Replaces a refresh token with a new pair of tokens, or ends the session if the token was replayed. */
@Injectable()
export class RefreshTransaction implements SharedTransaction<Refresh, Locked, Refreshed> {
  readonly name = 'refresh';

  constructor(
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly accounts: AccountsService,
    private readonly events: EventBus,
  ) {}

  keyOf({ presented }: Refresh): string {
    return familyKey(presented.userId, presented.familyDigest);
  }

  userOf({ presented }: Refresh): string {
    return presented.userId;
  }

  async lock(tx: Tx, refreshes: readonly Refresh[]): Promise<Locked> {
    const presented = refreshes.map((refresh) => refresh.presented);
    const [accounts, sessions] = await tx.inOrder(
      () => this.accounts.holdAll(tx, [...new Set(presented.map(({ userId }) => userId))]),
      () => this.store.lockFamilies(tx, presented),
    );
    const byFamily = sessions.map((session) => [familyKey(session.userId, session.family), session] as const);
    return { accounts, sessions: new Map(byFamily) };
  }

  decide(refresh: Refresh, { accounts, sessions }: Locked, tx: Tx): Refreshed {
    const { presented, origin, client } = refresh;
    const session = sessions.get(this.keyOf(refresh));
    // The token of another client is refused, and nothing else happens: this is no replay.
    if (session === undefined || session.oauthClientId !== (client?.clientId ?? null)) return REFUSED;
    const account = accounts.get(session.userId) ?? null;
    // An OAuth 2.0 client would take any refusal for the end of its session, and a lock must not cost a session. The
    // new access token is refused while the lock lasts.
    if (client === null) requireActive(account);
    else if (account === null || account.deactivatedAt !== null) return REFUSED;
    if (client !== null && isBeyond(client, session)) return { kind: 'beyond_scope' };
    if (!this.tokens.isRefreshable(session, tx.startedAt)) return REFUSED;
    const rotation = this.tokens.rotationOf(session, presented.digest, tx.startedAt);
    if (rotation === 'replay') return { kind: 'replayed', session, origin };
    if (rotation !== 'next' && rotation !== 'retry') return REFUSED;
    const pair = this.tokens.issuePair(session.userId, presented.family, tx.startedAt);
    const isRetry = rotation === 'retry';
    return { kind: 'rotated', rotation: { session, presented: presented.digest, isRetry, pair } };
  }

  async write(tx: Tx, decided: readonly Decided<Refresh, Refreshed>[]): Promise<void> {
    const results = decided.map(({ result }) => result);
    const rotations = results.flatMap((one) => (one.kind === 'rotated' ? [one.rotation] : []));
    const replayed = results.flatMap((one) => (one.kind === 'replayed' ? [one] : []));
    await tx.inOrder(
      () => this.rotate(tx, rotations),
      () => this.endReplayed(tx, replayed),
    );
  }

  private async rotate(tx: Tx, rotations: readonly Rotated[]): Promise<void> {
    const [first] = rotations;
    if (first === undefined) return;
    await this.store.rotate(tx, rotations, {
      expiresAt: first.pair.expiresAt!,
      forgetBefore: new Date(tx.startedAt.getTime() - EXPIRED_TOKEN_KEPT_MS),
    });
  }

  private async endReplayed(tx: Tx, replayed: readonly Replayed[]): Promise<void> {
    if (replayed.length === 0) return;
    const ended = replayed.map(({ session: { userId, deviceId } }) => ({ userId, deviceId }));
    const origins = originsByDevice(replayed.map(({ session, origin }) => [session, origin]));
    await tx.inOrder(
      ...replayed.map(
        ({ session }) =>
          () =>
            this.store.endKeepingDevice(tx, session, 'refresh_replay'),
      ),
      () =>
        this.events.publish(tx, new SessionsEnded(ended, 'refresh_replay', tx.startedAt.getTime()), origins),
    );
  }
}

/** Returns the new pair, or `null` if the refresh issued none. */
export function pairOf(refreshed: Refreshed): TokenPair | null {
  return refreshed.kind === 'rotated' ? refreshed.rotation.pair : null;
}

function isBeyond({ scope }: RefreshingClient, { oauthScope }: RefreshTokenEntity): boolean {
  const own = oauthScope?.split(' ') ?? [];
  return scope !== null && !scope.every((token) => own.includes(token));
}

function familyKey(userId: string, family: Buffer): string {
  return `${userId}\0${family.toString('base64')}`;
}
