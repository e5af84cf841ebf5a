import { Injectable } from '@nestjs/common';
import { AccountsService, requireActive } from '../accounts/accounts.service.js';
import { recordOrigin } from '../audit/origins.js';
import type { Tx } from '../database/tx.js';
import type { DeviceRef } from '../events/devices-deleted.event.js';
import { EventBus } from '../events/event-bus.js';
import { SessionStarted } from '../events/session-started.event.js';
import { SessionsEnded } from '../events/sessions-ended.event.js';
import { EndingService } from './ending/ending.service.js';
import { shortened } from '../device-rows/device.rules.js';
import { type SessionStart, type StartedSession } from './session.rules.js';
import { SessionStore } from './session.store.js';
import { TokenIssuer } from './token-issuer.js';

/** A session whose tokens are made and not written yet. */
export interface PreparedSession extends StartedSession {
  readonly start: SessionStart;
  /** Whether the device ID was made up for it: then it is nobody's yet. */
  readonly isOnNewDevice: boolean;
}

/** Begins sessions. */
@Injectable()
export class SessionStartService {
  constructor(
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly accounts: AccountsService,
    private readonly events: EventBus,
    private readonly endings: EndingService,
  ) {}

  /**
   * Begins a session on a device, new or known. The tokens that a known device had before die; its keys stay
   * ("Relationship between access tokens and devices").
   * @throws {MatrixError} `M_FORBIDDEN`, `M_USER_DEACTIVATED` or `M_USER_LOCKED` for a user who may not get a token;
   *   `M_INVALID_PARAM` for an invalid device ID
   */
  async start(tx: Tx, wanted: SessionStart): Promise<StartedSession> {
    const session = this.prepare(wanted);
    const requireAccount = async () => requireActive(await this.accounts.hold(tx, wanted.userId));
    // A device that is there must be held before anything is written, a new one need not.
    if (!session.isOnNewDevice) await requireAccount();
    await tx.inOrder(session.isOnNewDevice ? requireAccount : undefined, () => this.begin(tx, session));
    return session;
  }

  /**
   * Begins the session of a device anew whose first answer was lost; `null` when the device has been deleted since. The
   * account is held.
   */
  async startAgain(
    tx: Tx,
    wanted: SessionStart & { readonly deviceId: string },
  ): Promise<StartedSession | null> {
    return (await this.endings.finish(tx, wanted)) ? this.start(tx, wanted) : null;
  }

  /**
   * Makes the tokens of a session, and the ID of its device unless the client names one. Nothing is written.
   * @throws {MatrixError} `M_INVALID_PARAM` for an invalid device ID
   */
  prepare(start: SessionStart): PreparedSession {
    const { userId, refreshable } = start;
    return {
      userId,
      deviceId: this.tokens.deviceId(start.deviceId),
      pair: refreshable ? this.tokens.issuePair(userId) : this.tokens.issueLasting(userId),
      start,
      isOnNewDevice: !start.deviceId,
    };
  }

  /**
   * Writes a prepared session. The account is held: a logout of all devices locks it, so a login either was there to be
   * ended or comes after. On a new device it need not have answered yet.
   */
  async begin(tx: Tx, { userId, deviceId, pair, start, isOnNewDevice }: PreparedSession): Promise<void> {
    const device = { userId, deviceId };
    recordOrigin(tx, start.origin, device);
    if (!isOnNewDevice) await this.endings.finish(tx, device);
    const name = start.initialDeviceDisplayName === null ? null : shortened(start.initialDeviceDisplayName);
    await tx.inOrder(
      () => this.events.publish(tx, new SessionStarted(userId, deviceId, name, tx.startedAt.getTime())),
      isOnNewDevice ? undefined : () => this.endEarlier(tx, device),
      () => this.store.insertSession(tx, device, pair),
    );
  }

  /** The tokens that a known device had before die with the next login on it. */
  private async endEarlier(tx: Tx, device: DeviceRef): Promise<void> {
    if (await this.store.deleteTokens(tx, [device])) {
      await this.events.publish(tx, new SessionsEnded([device], 'replaced_by_login', tx.startedAt.getTime()));
    }
  }
}
