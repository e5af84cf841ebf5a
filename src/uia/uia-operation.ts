import type { Flow, GuardedCall } from './uia-flows.port.js';
import type { UiaSessionEntity } from './uia-session.entity.js';

/** Which session: its ID, and the user that it is stored with. */
export type UiaSessionRef = Pick<UiaSessionEntity, 'userId' | 'sessionId'>;

/** One API call that asks for a proof. */
export interface Operation extends GuardedCall {
  /** The calling device; its authentication sessions are deleted with it. */
  readonly deviceId: string | null;
  /** The flows that are enough proof, unless a team changes them. */
  readonly flows: readonly Flow[];
  /** The request's parameters without any password. The client may answer the challenge with `auth` alone. */
  readonly parameters: object;
  /**
   * Whether the answer to a challenge must have the same parameters. A repetition of a call that was made always
   * must.
   */
  readonly isFixed?: boolean;
  /** Hashes the password in the request, if it must be remembered; `null` if the request has none. */
  readonly secret?: (() => Promise<string>) | null;
  /** The `auth` of the request. */
  readonly auth: Readonly<Record<string, unknown>> | undefined;
  /**
   * What the user agrees to on the account page, instead of proving anything in the call: an action of that page. The
   * call may be repeated without naming its session until they have. `null`, and while there is no such page: `flows`.
   */
  readonly action?: string | null;
  /** The address of the client. */
  readonly address: string;
}

/** An operation for which a flow is complete. */
export interface Authorised {
  /** The parameters of the request that opened the session, or of this one when it needed no session. */
  readonly parameters: object;
  /** What the proof was checked against. The operation must check under lock that it has not changed. */
  readonly credential: string | null;
  /** The user whose identity was proven, or the caller if the stages prove no particular user. */
  readonly userId: string | null;
  /** The password hash from the request that opened the session; `null` if it had none. */
  readonly secret: string | null;
  /** The session, which the authorised call must finish; `null` if there was none. */
  readonly session: UiaSessionRef | null;
  /** The result of the call, if it was made already and its answer was lost. */
  readonly result: Result | null;
}

/** The result of a call. */
export type Result = Readonly<Record<string, string | null>>;

/** The call that replaces cross-signing keys, and what its user agrees to on the account page. */
export const CROSS_SIGNING_UPLOAD = 'POST /keys/device_signing/upload';
export const CROSS_SIGNING_RESET = 'org.matrix.cross_signing_reset';

/** The stages of a call that its user agrees to on a page: that of the specification, and an older one (MSC4312). */
export const PAGE_FLOWS: readonly Flow[] = [['m.oauth'], [CROSS_SIGNING_RESET]];

/** How long a client may repeat a request that was authorised. */
export const REPEATABLE_MS = 10 * 60 * 1_000;

export function earlierOf(one: Date, otherMs: number): Date {
  return new Date(Math.min(one.getTime(), otherMs));
}

/** For callers who need no proof, such as application services. */
export function withoutProof(parameters: object, userId: string): Authorised {
  return { parameters, userId, credential: null, secret: null, session: null, result: null };
}
