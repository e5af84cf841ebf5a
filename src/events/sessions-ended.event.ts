import type { DeviceRef } from './devices-deleted.event.js';
import { partsOf, SessionEvent, type UserPart } from './session-event.js';

/** Why a session ended while its device stayed. */
export type EndReason = 'replaced_by_login' | 'refresh_replay';

/**
 * The tokens of a device are no longer valid. The device and its keys stay.
 *
 * @example
 * ```ts
 * @AfterCommit(SessionsEnded, 'alarm')
 * async onReplay({ sessions, reason }: SessionsEnded) {
 *   if (reason === 'refresh_replay') await this.alarm.stolen(sessions);
 * }
 * ```
 */
export class SessionsEnded extends SessionEvent {
  static override readonly eventName = 'sessions.ended';

  constructor(
    readonly sessions: readonly DeviceRef[],
    readonly reason: EndReason,
    /** When, in milliseconds since the epoch. */
    readonly endedTs: number,
  ) {
    super();
  }

  override perUser(): readonly UserPart[] {
    return partsOf(this.sessions, (own) => new SessionsEnded(own, this.reason, this.endedTs));
  }
}
