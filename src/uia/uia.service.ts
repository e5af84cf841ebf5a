import { Injectable } from '@nestjs/common';
import { requireFewBytes } from '../admission/bounds.rules.js';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { UiaChallenge } from './uia-challenge.js';
import { type Flow, UiaFlows } from './uia-flows.port.js';
import {
  type Authorised,
  earlierOf,
  type Operation,
  PAGE_FLOWS,
  REPEATABLE_MS,
  type Result,
} from './uia-operation.js';
import type { UiaSessionEntity } from './uia-session.entity.js';
import { UiaSessions } from './uia-sessions.js';
import { type Proven, UiaRefusal } from './uia-stage.port.js';
import { UiaStages } from './uia-stages.js';
import { UiaStore } from './uia.store.js';

/** A stage that this request completed. */
interface Done {
  readonly type: string;
  readonly proven: Proven | null;
}

/** User-interactive authentication: asks for a proof in the middle of a request. */
@Injectable()
export class UiaService {
  constructor(
    private readonly sessions: UiaSessions,
    private readonly store: UiaStore,
    private readonly stages: UiaStages,
    private readonly flows: UiaFlows,
    private readonly unitOfWork: UnitOfWork,
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
    const { challengeParametersBytes } = this.sessions.limits;
    requireFewBytes(
      'LIMIT_CHALLENGE_PARAMETERS',
      'The parameters of the request',
      JSON.stringify(asked.parameters),
      challengeParametersBytes,
    );
    const isOnPage = this.sessions.pageOf(asked) !== null;
    const flows = isOnPage ? PAGE_FLOWS : await this.flows.flowsOf({ name, userId }, asked.flows);
    const operation = { ...asked, flows };
    const session = await this.sessions.find(operation);
    // Outside any transaction, because checking a password is slow and must not occupy a connection.
    const attempt = await this.attempt(session?.completed ?? [], operation);
    const isAnswered = session !== null || isComplete(operation.flows, completedBy([], attempt));
    const secret = isAnswered ? null : ((await asked.secret?.()) ?? null);
    // Thrown after the commit, because the session of the challenge must be stored.
    const result = await this.unitOfWork.run((tx) => this.advance(tx, operation, session, attempt, secret));
    if (result === null) throw await this.sessions.whyGone(operation);
    if (result instanceof UiaChallenge) throw result;
    return result;
  }

  /**
   * The parameters and result of a call that was made already, if the request names the session that authorised it;
   * `null` otherwise.
   * @throws {MatrixError} `M_FORBIDDEN` when the request has other parameters
   */
  earlier(
    call: Pick<Operation, 'name' | 'auth' | 'parameters'>,
  ): Promise<Pick<UiaSessionEntity, 'parameters' | 'result'> | null> {
    return this.sessions.findFinished(call);
  }

  /**
   * Locks a session for the call it authorises. A second call at the same time waits and gets the first one's result.
   */
  async hold(tx: Tx, { session }: Authorised): Promise<Result | null> {
    if (session === null) return null;
    return (await this.store.lock(tx, session))?.result ?? null;
  }

  /**
   * Stores the result of the call and its effective parameters, in the call's transaction. A repetition must have the
   * same parameters.
   */
  async finish(
    tx: Tx,
    { session, parameters }: Authorised,
    result: Result = {},
    done: object = parameters,
  ): Promise<void> {
    if (session !== null) await this.store.finish(tx, session, result, done);
  }

  private async advance(
    tx: Tx,
    operation: Operation,
    found: UiaSessionEntity | null,
    attempt: Done | MatrixError | null,
    secret: string | null,
  ): Promise<Authorised | UiaChallenge | null> {
    const session =
      found === null ? this.sessions.open(tx, operation, secret) : await this.store.lock(tx, found);
    if (session === null) return null;
    const { flows } = operation;
    const completed = completedBy(session.completed, attempt);
    const proven = (attempt instanceof MatrixError ? null : attempt?.proven) ?? session.proven;
    const isDone = isComplete(flows, completed);
    const expiresAt = isDone
      ? earlierOf(session.expiresAt, tx.startedAt.getTime() + REPEATABLE_MS)
      : session.expiresAt;
    // Clients that wait for a page ask twice a second.
    const isNews = attempt !== null || isDone;
    if (found !== null && isNews) await this.store.complete(tx, { ...session, completed, proven, expiresAt });
    if (isDone) {
      const { userId = operation.userId, credential = null } = proven ?? {};
      const { parameters, result } = session;
      return {
        parameters,
        userId,
        credential,
        secret: session.secret,
        result,
        session: found,
      };
    }
    if (found === null) await this.sessions.insert(tx, { ...session, completed, proven });
    return new UiaChallenge(
      session.sessionId,
      flows,
      completed,
      attempt instanceof MatrixError ? attempt : null,
      paramsOf(flows, this.sessions.pageOf(operation)),
    );
  }

  /** The stage that was completed now, or why it failed; `null` if there was nothing to do. */
  private async attempt(
    completed: readonly string[],
    operation: Operation,
  ): Promise<Done | MatrixError | null> {
    const { auth, flows, userId, address } = operation;
    if ((auth?.['type'] ?? undefined) === undefined) return null;
    // The client asks whether the user has agreed. That they have not yet is no failure.
    if (this.sessions.pageOf(operation) !== null) return null;
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
}

function completedBy(before: readonly string[], attempt: Done | MatrixError | null): string[] {
  const done = attempt === null || attempt instanceof MatrixError ? [] : [attempt.type];
  return [...new Set([...before, ...done])];
}

function isComplete(flows: readonly Flow[], completed: readonly string[]): boolean {
  return flows.some((flow) => flow.every((stage) => completed.includes(stage)));
}

function paramsOf(flows: readonly Flow[], page: string | null): Record<string, object> {
  return page === null ? {} : Object.fromEntries(flows.flat().map((stage) => [stage, { url: page }]));
}
