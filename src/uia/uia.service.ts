import { Injectable } from '@nestjs/common';
import { type Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { Entropy } from '../system/entropy.js';
import { DummyStage } from './dummy.stage.js';
import { type Flow, UiaChallenge } from './uia-challenge.js';
import type { UiaSessionEntity } from './uia-session.entity.js';
import type { UiaStage } from './uia-stage.port.js';
import { UiaStore } from './uia.store.js';

const LIFETIME_MS = 60 * 60 * 1_000;

/** One API call that asks for a proof. */
export interface Operation {
  /** Method and path; a session of one operation does not open another. */
  readonly name: string;
  readonly userId: string | null;
  readonly flows: readonly Flow[];
  /** What the client asked for, without any password: a client may answer the challenge with `auth` alone. */
  readonly parameters: object;
  /** The `auth` of the request. */
  readonly auth: Readonly<Record<string, unknown>> | undefined;
}

/** User-interactive authentication: prove it again, in the middle of a request. */
@Injectable()
export class UiaService {
  private readonly stages: ReadonlyMap<string, UiaStage>;

  constructor(
    private readonly store: UiaStore,
    private readonly unitOfWork: UnitOfWork,
    private readonly entropy: Entropy,
    dummy: DummyStage,
  ) {
    this.stages = new Map([[dummy.type, dummy]]);
  }

  /**
   * Resolves when a flow is complete, with the parameters of the request that opened the session; the session is
   * then used up. A first request that brings a whole flow's proof needs no session.
   * @throws {UiaChallenge} while stages are missing, or when one failed
   * @throws {MatrixError} 400 `M_UNKNOWN` for a session that is unknown or expired; 403 `M_FORBIDDEN` for one that
   *   belongs to another operation or user
   */
  async authorise(operation: Operation): Promise<object> {
    // A challenge is an answer that must be remembered, so it is thrown after the commit.
    const result = await this.unitOfWork.run((tx) => this.advance(tx, operation));
    if (result instanceof UiaChallenge) throw result;
    return result;
  }

  private async advance(tx: Tx, operation: Operation): Promise<object | UiaChallenge> {
    const { auth, flows } = operation;
    const session = await this.session(tx, operation);
    const attempt = auth?.['type'] === undefined ? null : await this.attempt(session, operation, auth);
    if (attempt instanceof MatrixError)
      return new UiaChallenge(session.sessionId, flows, session.completed, attempt);
    const completed = attempt === null ? session.completed : [...session.completed, attempt];
    if (flows.some((flow) => flow.every((stage) => completed.includes(stage)))) {
      await this.store.delete(tx, session.sessionId);
      return session.parameters;
    }
    if (attempt !== null) await this.store.complete(tx, session.sessionId, completed);
    return new UiaChallenge(session.sessionId, flows, completed);
  }

  /** The name of the stage that was done now, `null` when it was done before, or why it failed. */
  private async attempt(
    { completed }: UiaSessionEntity,
    { flows, userId }: Operation,
    auth: Readonly<Record<string, unknown>>,
  ): Promise<string | null | MatrixError> {
    const type = auth['type'];
    const stage = typeof type === 'string' ? this.stages.get(type) : undefined;
    if (stage === undefined)
      return MatrixError.invalidParam('This type of authentication is not offered here');
    if (completed.includes(stage.type)) return null;
    const isNext = flows.some(
      (flow) => completed.every((done, at) => flow[at] === done) && flow[completed.length] === stage.type,
    );
    if (!isNext) return MatrixError.forbidden('This stage is not the next of any flow');
    try {
      await stage.attempt({ auth, userId });
      return stage.type;
    } catch (error) {
      if (error instanceof MatrixError) return error;
      throw error;
    }
  }

  private async session(tx: Tx, operation: Operation): Promise<UiaSessionEntity> {
    const sessionId = operation.auth?.['session'];
    if (sessionId === undefined) return this.open(tx, operation);
    if (typeof sessionId !== 'string') throw MatrixError.badJson('auth.session must be a string');
    const session = await this.store.find(tx, sessionId);
    if (session === null)
      throw new MatrixError(400, 'M_UNKNOWN', 'Unknown or expired authentication session');
    if (session.operation !== operation.name || session.userId !== operation.userId) {
      throw MatrixError.forbidden('The authentication session belongs to another request');
    }
    return session;
  }

  private async open(tx: Tx, { name, userId, parameters }: Operation): Promise<UiaSessionEntity> {
    const session: UiaSessionEntity = {
      sessionId: this.entropy.bytes(18).toString('base64url'),
      operation: name,
      userId,
      parameters,
      completed: [],
      expiresAt: new Date(tx.startedAt.getTime() + LIFETIME_MS),
    };
    await this.store.insert(tx, session);
    return session;
  }
}
