import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import { orderedJson } from '../matrix/canonical-json.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { Clock } from '../system/clock.js';
import { Entropy } from '../system/entropy.js';
import { UiaChallenge } from './uia-challenge.js';
import { type Flow, type GuardedCall, UiaFlows } from './uia-flows.port.js';
import type { UiaSessionEntity } from './uia-session.entity.js';
import { type Proven, UiaRefusal } from './uia-stage.port.js';
import { UiaStages } from './uia-stages.js';
import { UiaStore } from './uia.store.js';

const LIFETIME_MS = 60 * 60 * 1_000;
/** How long a client may repeat a request whose answer was lost. */
const REPEATABLE_MS = 10 * 60 * 1_000;

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
  /** The session, which the authorised call must {@link UiaService.finish finish}; `null` if there was none. */
  readonly sessionId: string | null;
  /** The result of the call, if it was made already and its answer was lost. */
  readonly result: Result | null;
}

/** The result of a call. */
export type Result = Readonly<Record<string, string | null>>;

/** For callers who need no proof, such as application services. */
export function withoutProof(parameters: object, userId: string): Authorised {
  return { parameters, userId, credential: null, secret: null, sessionId: null, result: null };
}

/** A stage that this request completed. */
interface Done {
  readonly type: string;
  readonly proven: Proven | null;
}

/** User-interactive authentication: asks for a proof in the middle of a request. */
@Injectable()
export class UiaService {
  constructor(
    private readonly store: UiaStore,
    private readonly stages: UiaStages,
    private readonly flows: UiaFlows,
    private readonly unitOfWork: UnitOfWork,
    private readonly devices: DeviceRows,
    private readonly clock: Clock,
    private readonly entropy: Entropy,
  ) {}

  /**
   * Resolves when a flow is complete. A first request that completes a whole flow needs no session. Stages may come
   * in any order; a completed one is not tried again. After that, the session stays valid for the same request for
   * ten minutes, so that the client can repeat it if the answer was lost: `result` is then what {@link finish} was
   * given.
   * @throws {UiaChallenge} while stages are missing, or when one failed
   * @throws {MatrixError} 400 `M_UNKNOWN` for a session that is unknown or expired; 403 `M_FORBIDDEN` for one that
   *   belongs to another request, user or device, or when a stage refuses for good; 400 `M_TOO_LARGE` for parameters
   *   beyond `LIMIT_CHALLENGE_PARAMETERS`
   */
  async authorise(asked: Operation): Promise<Authorised> {
    const { name, userId } = asked;
    if (JSON.stringify(asked.parameters).length > this.store.limits.challengeParametersBytes)
      throw new MatrixError(400, 'M_TOO_LARGE', 'The request asks for too much at once');
    const operation = { ...asked, flows: await this.flows.flowsOf({ name, userId }, asked.flows) };
    const session = await this.find(operation);
    // Outside any transaction, because checking a password is slow and must not occupy a connection.
    const attempt = await this.attempt(session?.completed ?? [], operation);
    const isAnswered = session !== null || isComplete(operation.flows, completedBy([], attempt));
    const secret = isAnswered ? null : ((await asked.secret?.()) ?? null);
    // Thrown after the commit, because the session of the challenge must be stored.
    const result = await this.unitOfWork.run((tx) => this.advance(tx, operation, session, attempt, secret));
    if (result === null) throw await this.whyGone(operation);
    if (result instanceof UiaChallenge) throw result;
    return result;
  }

  /**
   * The parameters and result of a call that was made already, if the request names the session that authorised it;
   * `null` otherwise.
   * @throws {MatrixError} `M_FORBIDDEN` when the request has other parameters
   */
  async earlier({
    name,
    auth,
    parameters,
  }: Pick<Operation, 'name' | 'auth' | 'parameters'>): Promise<Pick<
    UiaSessionEntity,
    'parameters' | 'result'
  > | null> {
    const sessionId = auth?.['session'];
    if (typeof sessionId !== 'string') return null;
    const session = await this.store.find(sessionId, this.clock.now());
    if (session?.operation !== name || session.result === null) return null;
    requireSame(parameters, session.parameters);
    return session;
  }

  /**
   * Locks a session for the call it authorises. A second call at the same time waits and gets the first one's result.
   */
  async hold(tx: Tx, { sessionId }: Authorised): Promise<Result | null> {
    if (sessionId === null) return null;
    return (await this.store.lock(tx, sessionId))?.result ?? null;
  }

  /**
   * Stores the result of the call and its effective parameters, in the call's transaction. A repetition must have the
   * same parameters.
   */
  async finish(
    tx: Tx,
    { sessionId, parameters }: Authorised,
    result: Result = {},
    done: object = parameters,
  ): Promise<void> {
    if (sessionId !== null) await this.store.finish(tx, sessionId, result, done);
  }

  private async advance(
    tx: Tx,
    operation: Operation,
    found: UiaSessionEntity | null,
    attempt: Done | MatrixError | null,
    secret: string | null,
  ): Promise<Authorised | UiaChallenge | null> {
    const session =
      found === null ? this.open(tx, operation, secret) : await this.store.lock(tx, found.sessionId);
    if (session === null) return null;
    const { flows } = operation;
    const completed = completedBy(session.completed, attempt);
    const proven = (attempt instanceof MatrixError ? null : attempt?.proven) ?? session.proven;
    const isDone = isComplete(flows, completed);
    const expiresAt = isDone
      ? earlier(session.expiresAt, tx.startedAt.getTime() + REPEATABLE_MS)
      : session.expiresAt;
    if (found !== null) await this.store.complete(tx, { ...session, completed, proven, expiresAt });
    if (isDone) {
      const { userId = operation.userId, credential = null } = proven ?? {};
      const { parameters, result, sessionId } = session;
      return {
        parameters,
        userId,
        credential,
        secret: session.secret,
        result,
        sessionId: found === null ? null : sessionId,
      };
    }
    if (found === null) await this.insert(tx, { ...session, completed, proven });
    return new UiaChallenge(
      session.sessionId,
      flows,
      completed,
      attempt instanceof MatrixError ? attempt : null,
    );
  }

  /** The stage that was completed now, or why it failed; `null` if there was nothing to do. */
  private async attempt(
    completed: readonly string[],
    operation: Operation,
  ): Promise<Done | MatrixError | null> {
    const { auth, flows, userId, address } = operation;
    if ((auth?.['type'] ?? undefined) === undefined) return null;
    const stage = this.stages.find(auth!['type']);
    if (stage === null || !flows.flat().includes(stage.type)) {
      return MatrixError.invalidParam('This type of authentication is not offered here');
    }
    if (completed.includes(stage.type)) return null;
    try {
      return { type: stage.type, proven: await stage.attempt({ auth: auth!, userId, address }) };
    } catch (error) {
      // A rate limit answers the request itself instead of counting as a failed stage.
      const isAnswer = error instanceof UiaRefusal || (error instanceof MatrixError && error.status === 429);
      if (isAnswer || !(error instanceof MatrixError)) throw error;
      return error;
    }
  }

  /** The session that the request names; `null` if it names none. */
  private async find({
    auth,
    name,
    userId,
    deviceId,
    parameters,
    isFixed = false,
  }: Operation): Promise<UiaSessionEntity | null> {
    const sessionId = auth?.['session'];
    if (sessionId === undefined || sessionId === null) return null;
    if (typeof sessionId !== 'string') throw MatrixError.badJson('auth.session must be a string');
    const session = await this.store.find(sessionId, this.clock.now());
    if (session === null) throw await this.whyGone({ userId, deviceId });
    if (session.operation !== name || session.userId !== userId || session.deviceId !== deviceId)
      throw another();
    if (isFixed || session.result !== null) requireSame(parameters, session.parameters);
    return session;
  }

  /** The error for a missing session. If its device was deleted, the caller's own session has ended, too. */
  private async whyGone({ userId, deviceId }: Pick<Operation, 'userId' | 'deviceId'>): Promise<MatrixError> {
    const isOver =
      userId !== null && deviceId !== null && (await this.devices.createdAt({ userId, deviceId })) === null;
    return isOver ? MatrixError.unknownToken() : MatrixError.unknownSession();
  }

  private async insert(tx: Tx, session: UiaSessionEntity): Promise<void> {
    try {
      await this.store.insert(tx, session);
    } catch (error) {
      // The calling device was deleted after the guard had checked it.
      const FOREIGN_KEY_VIOLATION = '23503';
      const { code } = error as { code?: string };
      throw code === FOREIGN_KEY_VIOLATION ? MatrixError.unknownToken() : error;
    }
  }

  private open(
    tx: Tx,
    { name, userId, deviceId, parameters }: Operation,
    secret: string | null,
  ): UiaSessionEntity {
    return {
      sessionId: this.entropy.bytes(18).toString('base64url'),
      operation: name,
      userId,
      deviceId,
      parameters,
      completed: [],
      secret,
      proven: null,
      result: null,
      expiresAt: new Date(tx.startedAt.getTime() + LIFETIME_MS),
    };
  }
}

function completedBy(before: readonly string[], attempt: Done | MatrixError | null): string[] {
  const done = attempt === null || attempt instanceof MatrixError ? [] : [attempt.type];
  return [...new Set([...before, ...done])];
}

function isComplete(flows: readonly Flow[], completed: readonly string[]): boolean {
  return flows.some((flow) => flow.every((stage) => completed.includes(stage)));
}

function earlier(one: Date, otherMs: number): Date {
  return new Date(Math.min(one.getTime(), otherMs));
}

/**
 * Requires that parameters sent with a session equal those that it was opened with. Otherwise a 200 would look as if
 * the new parameters had been used.
 */
function requireSame(asked: object, remembered: object): void {
  const known = new Map(Object.entries(remembered));
  const isSame = Object.entries(asked).every(
    ([name, value]) =>
      value === undefined || orderedJson({ value }) === orderedJson({ value: known.get(name) as unknown }),
  );
  if (!isSame) throw another();
}

function another(): MatrixError {
  return MatrixError.forbidden('The authentication session belongs to another request');
}
