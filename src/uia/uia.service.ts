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
/** How long an answer may be asked for again. */
const REPEATABLE_MS = 10 * 60 * 1_000;

/** One API call that asks for a proof. */
export interface Operation extends GuardedCall {
  /** The device that is calling, whose sessions go with it. */
  readonly deviceId: string | null;
  /** What proves enough, unless a team says otherwise. */
  readonly flows: readonly Flow[];
  /** What the client asked for, without any password: it may answer the challenge with `auth` alone. */
  readonly parameters: object;
  /** Whether the answer to a challenge may not ask for anything else; what is repeated never may. */
  readonly isFixed?: boolean;
  /** A hash of the password that it brought, made only when it is to be remembered; `null` when it brought none. */
  readonly secret?: (() => Promise<string>) | null;
  /** The `auth` of the request. */
  readonly auth: Readonly<Record<string, unknown>> | undefined;
  /** The address of the client. */
  readonly address: string;
}

/** An operation whose flow is complete. */
export interface Authorised {
  /** The parameters of the request that opened the session, or of this one when it needed no session. */
  readonly parameters: object;
  /** What the proof was held against, for an operation to see under lock that it has not changed. */
  readonly credential: string | null;
  /** Who has proven to be who they are; the caller, where a stage proves nobody in particular. */
  readonly userId: string | null;
  /** The hash that the request which opened the session left; `null` when it left none. */
  readonly secret: string | null;
  /**
   * The session, to be {@link UiaService.finish finished} by the call that it authorises; `null` when there was
   * none.
   */
  readonly sessionId: string | null;
  /** What came of the call, where it was made already and its answer was lost. */
  readonly result: Result | null;
}

/** What came of a call. */
export type Result = Readonly<Record<string, string | null>>;

/** For callers who need no proof, such as application services. */
export function withoutProof(parameters: object, userId: string): Authorised {
  return { parameters, userId, credential: null, secret: null, sessionId: null, result: null };
}

/** A stage that was done now. */
interface Done {
  readonly type: string;
  readonly proven: Proven | null;
}

/** User-interactive authentication: prove it again, in the middle of a request. */
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
   * Resolves when a flow is complete. A first request that brings a whole flow's proof needs no session. Stages may
   * come in any order; one that is done is not tried again. The session stays good for the same request for ten
   * minutes, in which a lost answer may be asked for again: `result` is then what {@link finish} was told.
   * @throws {UiaChallenge} while stages are missing, or when one failed
   * @throws {MatrixError} 400 `M_UNKNOWN` for a session that is unknown or expired; 403 `M_FORBIDDEN` for one that
   *   belongs to another request, user or device, or when a stage refuses for good; 400 `M_TOO_LARGE` for parameters
   *   beyond 64 KiB
   */
  async authorise(asked: Operation): Promise<Authorised> {
    const { name, userId } = asked;
    if (JSON.stringify(asked.parameters).length > this.store.limits.challengeParametersBytes)
      throw new MatrixError(400, 'M_TOO_LARGE', 'The request asks for too much at once');
    const operation = { ...asked, flows: await this.flows.flowsOf({ name, userId }, asked.flows) };
    const session = await this.find(operation);
    // Outside any transaction: a password takes its time, and must not hold a connection meanwhile.
    const attempt = await this.attempt(session?.completed ?? [], operation);
    const isAnswered = session !== null || isComplete(operation.flows, completedBy([], attempt));
    const secret = isAnswered ? null : ((await asked.secret?.()) ?? null);
    // A challenge is an answer that must be remembered, so it is thrown after the commit.
    const result = await this.unitOfWork.run((tx) => this.advance(tx, operation, session, attempt, secret));
    if (result === null) throw await this.whyGone(operation);
    if (result instanceof UiaChallenge) throw result;
    return result;
  }

  /**
   * What came of a call that a session has authorised, and what was asked for, if the request names such a session and
   * the call was made.
   * @throws {MatrixError} `M_FORBIDDEN` when it asks for something else
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
   * Holds a session for the call that it authorises: of two that are made at once, the second waits for the first
   * and is given what came of it.
   */
  async hold(tx: Tx, { sessionId }: Authorised): Promise<Result | null> {
    if (sessionId === null) return null;
    return (await this.store.lock(tx, sessionId))?.result ?? null;
  }

  /** Remembers, in the transaction of the call, what came of it, and what it did: a repetition asks for the same. */
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

  /** The stage that was done now, why it failed, or `null` when there was nothing to do. */
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
      // Too many attempts is an answer to the request, not to the stage.
      const isAnswer = error instanceof UiaRefusal || (error instanceof MatrixError && error.status === 429);
      if (isAnswer || !(error instanceof MatrixError)) throw error;
      return error;
    }
  }

  /** The session that the request names; `null` when it names none. */
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

  /** A session may go with its device: whoever deleted that, the caller's own session is over. */
  private async whyGone({ userId, deviceId }: Pick<Operation, 'userId' | 'deviceId'>): Promise<MatrixError> {
    const isOver =
      userId !== null && deviceId !== null && (await this.devices.createdAt({ userId, deviceId })) === null;
    return isOver ? MatrixError.unknownToken() : MatrixError.unknownSession();
  }

  private async insert(tx: Tx, session: UiaSessionEntity): Promise<void> {
    try {
      await this.store.insert(tx, session);
    } catch (error) {
      // The device that asks has ended since the guard let it in.
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
 * Whoever sends more than `auth` with a session asks for what it was opened for: an answer of 200 to anything else
 * would be taken for its success.
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
