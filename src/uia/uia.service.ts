import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
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
/** Parameters are kept with the challenge: a few thousand device IDs, or the cross-signing keys of a user. */
const PARAMETERS_LIMIT = 64 * 1_024;

/** One API call that asks for a proof. */
export interface Operation extends GuardedCall {
  /** The device that is calling, whose sessions go with it. */
  readonly deviceId: string | null;
  /** What proves enough, unless a team says otherwise. */
  readonly flows: readonly Flow[];
  /** What the client asked for, without any password: it may answer the challenge with `auth` alone. */
  readonly parameters: object;
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
    private readonly clock: Clock,
    private readonly entropy: Entropy,
  ) {}

  /**
   * Resolves when a flow is complete; the session is then used up. A first request that brings a whole flow's proof
   * needs no session. A stage that is done is not tried again.
   * @throws {UiaChallenge} while stages are missing, or when one failed
   * @throws {MatrixError} 400 `M_UNKNOWN` for a session that is unknown or expired; 403 `M_FORBIDDEN` for one that
   *   belongs to another operation, user or device, or when a stage refuses for good; 400 `M_TOO_LARGE` for parameters beyond
   *   64 KiB
   */
  async authorise(asked: Operation): Promise<Authorised> {
    const { name, userId } = asked;
    if (JSON.stringify(asked.parameters).length > PARAMETERS_LIMIT)
      throw new MatrixError(400, 'M_TOO_LARGE', 'The request asks for too much at once');
    const operation = { ...asked, flows: await this.flows.flowsOf({ name, userId }, asked.flows) };
    const session = await this.find(operation);
    // Outside any transaction: a password takes its time, and must not hold a connection meanwhile.
    const attempt = await this.attempt(session?.completed ?? [], operation);
    // A challenge is an answer that must be remembered, so it is thrown after the commit.
    const result = await this.unitOfWork.run((tx) => this.advance(tx, operation, session, attempt));
    if (result instanceof UiaChallenge) throw result;
    return result;
  }

  private async advance(
    tx: Tx,
    operation: Operation,
    found: UiaSessionEntity | null,
    attempt: Done | MatrixError | null,
  ): Promise<Authorised | UiaChallenge> {
    const session = found === null ? this.open(tx, operation) : await this.store.lock(tx, found.sessionId);
    if (session === null) throw unknownSession();
    const { flows } = operation;
    const done = attempt === null || attempt instanceof MatrixError ? null : attempt;
    const completed = done === null ? session.completed : [...new Set([...session.completed, done.type])];
    if (flows.some((flow) => flow.every((stage) => completed.includes(stage)))) {
      if (found !== null) await this.store.delete(tx, session.sessionId);
      const { userId = operation.userId, credential = null } = done?.proven ?? {};
      return { parameters: session.parameters, userId, credential };
    }
    if (found === null) await this.insert(tx, { ...session, completed });
    else await this.store.complete(tx, session.sessionId, completed);
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
    if (auth?.['type'] === undefined) return null;
    const stage = this.stages.find(auth['type']);
    if (stage === null || !flows.flat().includes(stage.type)) {
      return MatrixError.invalidParam('This type of authentication is not offered here');
    }
    if (completed.includes(stage.type)) return null;
    const isNext = flows.some(
      (flow) => completed.every((done, at) => flow[at] === done) && flow[completed.length] === stage.type,
    );
    if (!isNext) return MatrixError.forbidden('This stage is not the next of any flow');
    try {
      return { type: stage.type, proven: await stage.attempt({ auth, userId, address }) };
    } catch (error) {
      // Too many attempts is an answer to the request, not to the stage.
      const isAnswer = error instanceof UiaRefusal || (error instanceof MatrixError && error.status === 429);
      if (isAnswer || !(error instanceof MatrixError)) throw error;
      return error;
    }
  }

  /** The session that the request names; `null` when it names none. */
  private async find({ auth, name, userId, deviceId }: Operation): Promise<UiaSessionEntity | null> {
    const sessionId = auth?.['session'];
    if (sessionId === undefined || sessionId === null) return null;
    if (typeof sessionId !== 'string') throw MatrixError.badJson('auth.session must be a string');
    const session = await this.store.find(sessionId, this.clock.now());
    if (session === null) throw unknownSession();
    if (session.operation !== name || session.userId !== userId || session.deviceId !== deviceId) {
      throw MatrixError.forbidden('The authentication session belongs to another request');
    }
    return session;
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

  private open(tx: Tx, { name, userId, deviceId, parameters }: Operation): UiaSessionEntity {
    return {
      sessionId: this.entropy.bytes(18).toString('base64url'),
      operation: name,
      userId,
      deviceId,
      parameters,
      completed: [],
      expiresAt: new Date(tx.startedAt.getTime() + LIFETIME_MS),
    };
  }
}

function unknownSession(): MatrixError {
  return new MatrixError(400, 'M_UNKNOWN', 'Unknown or expired authentication session');
}
