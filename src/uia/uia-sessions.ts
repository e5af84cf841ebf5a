import { Injectable } from '@nestjs/common';
import type { Limits } from '../config/limits.js';
import type { Tx } from '../database/tx.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import { orderedJson } from '../matrix/canonical-json.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { Clock } from '../system/clock.js';
import { Entropy } from '../system/entropy.js';
import type { Operation } from './uia-operation.js';
import type { UiaSessionEntity } from './uia-session.entity.js';
import { UiaStore } from './uia.store.js';

const LIFETIME_MS = 60 * 60 * 1_000;

/** Opens authentication sessions, and finds the one that a request names. */
@Injectable()
export class UiaSessions {
  constructor(
    private readonly store: UiaStore,
    private readonly devices: DeviceRows,
    private readonly clock: Clock,
    private readonly entropy: Entropy,
  ) {}

  get limits(): Limits {
    return this.store.limits;
  }

  /** The page where the user agrees to the operation; `null` if they prove something in the call. */
  pageOf({ action = null }: Pick<Operation, 'action'>): string | null {
    return action === null ? null : this.store.accountPageOf(action);
  }

  /**
   * The session that the request names; `null` if it names none.
   * @throws {MatrixError} `M_FORBIDDEN` if the session belongs to another request
   */
  async find(operation: Operation): Promise<UiaSessionEntity | null> {
    const { auth, name, userId, deviceId, parameters, isFixed = false } = operation;
    const sessionId = auth?.['session'];
    if (sessionId === undefined || sessionId === null) return this.findWaiting(operation);
    if (typeof sessionId !== 'string') throw MatrixError.badJson('auth.session must be a string');
    const session = await this.store.find(userId ?? sessionId, sessionId, this.clock.now());
    if (session === null) throw await this.whyGone(operation);
    if (session.operation !== name || session.deviceId !== deviceId) throw another();
    if (isFixed || session.result !== null) requireSame(parameters, session.parameters);
    return session;
  }

  /**
   * The open session of a call that is repeated until its user agrees on a page: some clients never name the session,
   * and would otherwise open another one with each call.
   */
  private async findWaiting(operation: Operation): Promise<UiaSessionEntity | null> {
    const { name, userId, deviceId, parameters } = operation;
    if (this.pageOf(operation) === null || userId === null || deviceId === null) return null;
    const waiting = await this.store.findWaiting(userId, name, this.clock.now());
    const isSame = (one: UiaSessionEntity) =>
      one.deviceId === deviceId && orderedJson(one.parameters) === orderedJson(parameters);
    const same = waiting.filter(isSame);
    // Calls that came at the same time have a session each. The user agrees to one of them.
    return same.find(({ completed }) => completed.length > 0) ?? same[0] ?? null;
  }

  /**
   * The session that authorised a call of somebody who is not logged in, if that call was made already.
   * @throws {MatrixError} `M_FORBIDDEN` if the call had other parameters
   */
  async findFinished({
    name,
    auth,
    parameters,
  }: Pick<Operation, 'name' | 'auth' | 'parameters'>): Promise<UiaSessionEntity | null> {
    const sessionId = auth?.['session'];
    if (typeof sessionId !== 'string') return null;
    const session = await this.store.find(sessionId, sessionId, this.clock.now());
    if (session?.operation !== name || session.result === null) return null;
    requireSame(parameters, session.parameters);
    return session;
  }

  /**
   * The error for a session that the request names and that does not exist. If its device was deleted, the caller's
   * own session has ended, too.
   */
  async whyGone({ auth, userId, deviceId }: Operation): Promise<MatrixError> {
    const sessionId = auth?.['session'];
    if (typeof sessionId === 'string' && (await this.store.isOfSomebodyElse(sessionId, this.clock.now())))
      return another();
    const isOver =
      userId !== null && deviceId !== null && (await this.devices.createdAt({ userId, deviceId })) === null;
    return isOver ? MatrixError.unknownToken() : MatrixError.unknownSession();
  }

  /** A new session, which is not stored yet. */
  open(tx: Tx, operation: Operation, secret: string | null): UiaSessionEntity {
    const { name, userId, deviceId, parameters } = operation;
    const sessionId = this.entropy.bytes(18).toString('base64url');
    return {
      sessionId,
      operation: name,
      userId: userId ?? sessionId,
      deviceId,
      parameters,
      completed: [],
      secret,
      proven: null,
      result: null,
      isOnPage: this.pageOf(operation) !== null,
      expiresAt: new Date(tx.startedAt.getTime() + LIFETIME_MS),
    };
  }

  async insert(tx: Tx, session: UiaSessionEntity): Promise<void> {
    try {
      await this.store.insert(tx, session);
    } catch (error) {
      // The calling device was deleted after the guard had checked it.
      const FOREIGN_KEY_VIOLATION = '23503';
      const { code } = error as { code?: string };
      throw code === FOREIGN_KEY_VIOLATION ? MatrixError.unknownToken() : error;
    }
  }
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
  return MatrixError.forbidden('The authentication session was started for a different request');
}
