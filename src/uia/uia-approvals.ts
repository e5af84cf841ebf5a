import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { Clock } from '../system/clock.js';
import { earlierOf, PAGE_FLOWS, REPEATABLE_MS, type UiaSessionRef } from './uia-operation.js';
import type { UiaSessionEntity } from './uia-session.entity.js';
import { UiaStore } from './uia.store.js';

/** The calls that wait until their user agrees on a page (`Operation.page`). */
@Injectable()
export class UiaApprovals {
  constructor(
    private readonly store: UiaStore,
    private readonly clock: Clock,
  ) {}

  /** The calls of a user that wait, the newest first. */
  async waitingFor(userId: string, name: string): Promise<UiaSessionEntity[]> {
    const waiting = await this.store.findWaiting(userId, name, this.clock.now());
    return waiting.filter(({ completed }) => completed.length === 0);
  }

  /**
   * Records that the user has agreed to a call. It may then be made once, within ten minutes.
   * @returns the session; `null` if it does not wait any more
   */
  async approve(tx: Tx, ref: UiaSessionRef, name: string): Promise<UiaSessionEntity | null> {
    const session = await this.store.lock(tx, ref);
    if (session === null || session.operation !== name || !session.isOnPage || session.completed.length > 0)
      return null;
    const expiresAt = earlierOf(session.expiresAt, tx.startedAt.getTime() + REPEATABLE_MS);
    await this.store.complete(tx, { ...session, completed: PAGE_FLOWS.flat(), expiresAt });
    return session;
  }
}
