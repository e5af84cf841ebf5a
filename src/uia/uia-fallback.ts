import { Injectable } from '@nestjs/common';
import { UnitOfWork } from '../database/unit-of-work.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { Clock } from '../system/clock.js';
import type { UiaSessionEntity } from './uia-session.entity.js';
import type { Proven } from './uia-stage.port.js';
import { UiaStages } from './uia-stages.js';
import { UiaStore } from './uia.store.js';

/** Completes stages on pages, for clients that cannot show them ("Fallback"). */
@Injectable()
export class UiaFallback {
  constructor(
    private readonly store: UiaStore,
    private readonly stages: UiaStages,
    private readonly clock: Clock,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** The session that waits for a proof; `null` if it does not exist, or its call was made already. */
  async find(sessionId: string): Promise<UiaSessionEntity | null> {
    const session = await this.store.findById(sessionId, this.clock.now());
    return session?.result === null && !session.isOnPage ? session : null;
  }

  /**
   * Tries a stage with what the user has typed. The client then repeats its request with the session alone.
   * @param auth the fields of the stage, as a client would send them
   * @throws {MatrixError} 400 `M_UNKNOWN` for a session that does not wait; whatever the stage throws
   */
  async attempt(
    sessionId: string,
    type: string,
    auth: Readonly<Record<string, unknown>>,
    address: string,
  ): Promise<void> {
    const session = await this.find(sessionId);
    const stage = this.stages.find(type);
    if (session === null || stage === null) throw MatrixError.unknownSession();
    if (session.completed.includes(type)) return;
    // Somebody who is not logged in has the session's own ID for a user.
    const userId = session.userId === sessionId ? null : session.userId;
    const proven = await stage.attempt({ auth: { ...auth, type, session: sessionId }, userId, address });
    await this.complete(session, type, proven);
  }

  private async complete(found: UiaSessionEntity, type: string, proven: Proven | null): Promise<void> {
    await this.unitOfWork.run(async (tx) => {
      const session = await this.store.lock(tx, found);
      if (session === null || session.result !== null) throw MatrixError.unknownSession();
      const completed = [...new Set([...session.completed, type])];
      await this.store.complete(tx, { ...session, completed, proven: proven ?? session.proven });
    });
  }
}
