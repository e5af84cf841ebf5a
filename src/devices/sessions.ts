import { Injectable } from '@nestjs/common';
import type { DeviceRef } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { SessionService } from '../session/session.service.js';
import { DevicesService } from './devices.service.js';

/** A session as its user sees it: what somebody is signed in on. */
export interface SessionInfo extends DeviceRef {
  readonly displayName: string | null;
  /** Birth of the device, in milliseconds since the epoch. */
  readonly createdTs: number;
  /** When it made a request the last time, in milliseconds since the epoch; `null`: it made none yet. */
  readonly lastSeenTs: number | null;
  /** The address it made it from. */
  readonly lastSeenIp: string | null;
}

/**
 * Sessions, for modules that list or end those of users: after a stolen laptop was reported, or when somebody leaves
 * the company. A session is named by its device. What is ended is gone when the promise resolves, in one commit, as at
 * a logout: tokens, device, keys, and what your listeners of `DevicesDeleted` remove; the reason they hear is `admin`.
 * Of a user with thousands of devices or hundreds of thousands of keys the tokens are gone then, and the rest goes
 * right after it.
 *
 * What has ended already is passed over, so the second call changes nothing. What cannot be ended, because a listener
 * fails, rejects, and nothing has changed.
 *
 * This asks for no password: protect your endpoints, with `requireServerAdmin` for example.
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

  /** The sessions of a user, the eldest first; none for a user who is not there. */
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
   * @returns whether there was one
   */
  async end({ userId, deviceId }: DeviceRef, origin?: Origin): Promise<boolean> {
    // A handler may have read the ID from a body without looking at it.
    return typeof deviceId === 'string' && (await this.endSome(userId, [deviceId], origin)) === 1;
  }

  /**
   * Ends some sessions of a user, all in one commit.
   * @returns how many there were
   */
  endSome(userId: string, deviceIds: readonly string[], origin?: Origin): Promise<number> {
    return this.sessions.endNamed(userId, deviceIds, origin);
  }

  /** Ends every session of a user. A login that commits later is not touched. */
  endAll(userId: string, origin?: Origin): Promise<void> {
    return this.sessions.endAllNamed(userId, null, origin);
  }

  /** The same for every session but one, which need not be there. */
  endAllBut({ userId, deviceId }: DeviceRef, origin?: Origin): Promise<void> {
    return this.sessions.endAllNamed(userId, deviceId, origin);
  }
}
