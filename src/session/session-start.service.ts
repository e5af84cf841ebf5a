import { Injectable } from '@nestjs/common';
import { AccountsService, requireActive } from '../accounts/accounts.service.js';
import type { Tx } from '../database/tx.js';
import type { DeviceRef } from '../events/devices-deleted.event.js';
import { EventBus } from '../events/event-bus.js';
import { SessionStarted } from '../events/session-started.event.js';
import { SessionsEnded } from '../events/sessions-ended.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { EndingService } from './ending/ending.service.js';
import { shortened } from '../device-rows/device.rules.js';
import { type SessionStart, type StartedSession } from './session.rules.js';
import { SessionStore } from './session.store.js';
import { TokenIssuer } from './token-issuer.js';

/** A session whose tokens have been created but not stored yet. */
export interface PreparedSession extends StartedSession {
  readonly start: SessionStart;
  /** Whether the device ID was generated for this session, so that no such device exists yet. */
  readonly isOnNewDevice: boolean;
}

/** Starts sessions. */
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
   * Starts a session on a new or known device. A known device loses its earlier tokens and keeps its keys
   * ("Relationship between access tokens and devices").
   * @throws {MatrixError} `M_FORBIDDEN`, `M_USER_DEACTIVATED` or `M_USER_LOCKED` for a user who may not get a token;
   *   `M_INVALID_PARAM` for an invalid device ID
   */
  async start(tx: Tx, wanted: SessionStart): Promise<StartedSession> {
    const session = this.prepare(wanted);
    const requireAccount = async () => requireActive(await this.accounts.hold(tx, wanted.userId));
    // On an existing device, wait for the account before anything is written. On a new one, send both together.
    if (!session.isOnNewDevice) await requireAccount();
    await tx.inOrder(session.isOnNewDevice ? requireAccount : undefined, () => this.begin(tx, session));
    return session;
  }

  /**
   * Starts a session again on the device whose first response was lost. Returns `null` if the device has been deleted
   * since. The caller must hold the account.
   */
  async startAgain(
    tx: Tx,
    wanted: SessionStart & { readonly deviceId: string },
  ): Promise<StartedSession | null> {
    return (await this.endings.finish(tx, wanted)) ? this.start(tx, wanted) : null;
  }

  /**
   * Creates the tokens of a session, and a device ID unless the client names one. Writes nothing.
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
   * Stores a prepared session. The caller must hold the account: a logout of all devices locks it, so that the logout
   * either ends this session or commits before it starts. On a new device, the hold may still be on its way.
   */
  async begin(tx: Tx, { userId, deviceId, pair, start, isOnNewDevice }: PreparedSession): Promise<void> {
    const device = { userId, deviceId };
    if (!isOnNewDevice) await this.endings.finish(tx, device);
    const name = start.initialDeviceDisplayName === null ? null : shortened(start.initialDeviceDisplayName);
    await tx.inOrder(
      () =>
        this.events.publish(
          tx,
          new SessionStarted(userId, deviceId, name, tx.startedAt.getTime(), start.client?.clientId ?? null),
          start.origin,
        ),
      isOnNewDevice ? undefined : () => this.endEarlier(tx, device, start.origin),
      () => this.store.insertSession(tx, device, pair, start.client),
    );
  }

  /** Deletes the tokens that a known device had before this login. */
  private async endEarlier(tx: Tx, device: DeviceRef, origin: Origin): Promise<void> {
    if (await this.store.deleteTokens(tx, [device])) {
      await this.events.publish(
        tx,
        new SessionsEnded([device], 'replaced_by_login', tx.startedAt.getTime()),
        origin,
      );
    }
  }
}
