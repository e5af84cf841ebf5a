import { Injectable } from '@nestjs/common';
import type { DeviceRef } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { SessionService } from '../session/session.service.js';
import { DevicesService } from './devices.service.js';

/** A session as its user sees it: a device that they are signed in on. */
export interface SessionInfo extends DeviceRef {
  readonly displayName: string | null;
  /** When the device was created, in milliseconds since the epoch. */
  readonly createdTs: number;
  /** When it last made a request, in milliseconds since the epoch; `null` if it has made none yet. */
  readonly lastSeenTs: number | null;
  /** The address of that request. */
  readonly lastSeenIp: string | null;
}

/**
 * Lists and ends the sessions of users, for other modules: for example after a stolen laptop is reported, or when
 * somebody leaves the company. A session is identified by its device. When the promise resolves, everything is gone
 * in one commit, as after a logout: tokens, device, keys, and what your listeners of `DevicesDeleted` remove; they
 * get the reason `admin`. For a user with thousands of devices or hundreds of thousands of keys, the tokens are gone
 * by then and the rest follows right after.
 *
 * Sessions that have already ended are ignored, so the second call changes nothing. If a listener fails, the promise
 * rejects and nothing has changed.
 *
 * No password is asked for, so protect your endpoints, for example with `requireServerAdmin`.
 *
 * The last parameter says who asked: `{ ...origin, actor: requester.userId }`, with `@ClientOrigin()`. The audit log
 * keeps it.
 *
 * @example
 * ```ts
 * @Injectable()
 * class StolenLaptops {
 *   constructor(private readonly sessions: Sessions) {}
 *   async report(userId: string, deviceId: string, origin: Origin) {
 *     if (!(await this.sessions.end({ userId, deviceId }, origin))) throw MatrixError.notFound('No such session');
 *   }
 * }
 * ```
 */
@Injectable()
export class Sessions {
  constructor(
    private readonly sessions: SessionService,
    private readonly devices: DevicesService,
  ) {}

  /** The sessions of a user, oldest first; none if the user does not exist. */
  async list(userId: string): Promise<SessionInfo[]> {
    return (await this.devices.list(userId)).map((device) => ({
      userId,
      deviceId: device.deviceId,
      displayName: device.displayName,
      createdTs: device.createdAt.getTime(),
      lastSeenTs: device.lastSeenAt?.getTime() ?? null,
      lastSeenIp: device.lastSeenIp,
    }));
  }

  /**
   * Ends one session.
   * @returns whether it existed
   */
  async end({ userId, deviceId }: DeviceRef, origin?: Origin): Promise<boolean> {
    // A handler may have taken the ID from a body without validating it.
    return typeof deviceId === 'string' && (await this.endSome(userId, [deviceId], origin)) === 1;
  }

  /**
   * Ends some sessions of a user, all in one commit.
   * @returns how many of them existed
   */
  endSome(userId: string, deviceIds: readonly string[], origin?: Origin): Promise<number> {
    return this.sessions.endNamed(userId, deviceIds, origin);
  }

  /** Ends every session of a user. A login that commits later is not affected. */
  endAll(userId: string, origin?: Origin): Promise<void> {
    return this.sessions.endAllNamed(userId, null, origin);
  }

  /** Same as {@link endAll}, except for one session, which need not exist. */
  endAllBut({ userId, deviceId }: DeviceRef, origin?: Origin): Promise<void> {
    return this.sessions.endAllNamed(userId, deviceId, origin);
  }
}
