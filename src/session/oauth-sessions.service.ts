import { Injectable } from '@nestjs/common';
import { UnitOfWork } from '../database/unit-of-work.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import type { DeletionReason, DeviceRef } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { EndingService } from './ending/ending.service.js';
import { SessionStore } from './session.store.js';
import { TokenIssuer } from './token-issuer.js';
import type { WireToken } from './token.rules.js';

/** Which session: what all of its tokens share. */
export type SessionName = Pick<WireToken, 'userId' | 'sessionDigest'>;

/** The sessions that belong to OAuth 2.0 clients. */
@Injectable()
export class OAuthSessionsService {
  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly devices: DeviceRows,
    private readonly endings: EndingService,
  ) {}

  /**
   * Ends the session of an access or refresh token, even if that is expired, replaced or spent: the tokens, the device
   * and its keys are gone, in one commit. Nothing happens for anything else, such as a token of the login API, or of a
   * session that a later login on the device has replaced. So the second call does nothing.
   * @param reasonOf why, by the client that the session belongs to
   * @returns the device that was deleted, or `null`
   */
  async endByToken(
    token: string,
    origin: Origin,
    reasonOf: (clientId: string) => DeletionReason,
  ): Promise<DeviceRef | null> {
    const presented = this.tokens.read('mxa', token) ?? this.tokens.read('mxr', token);
    return presented === null ? null : this.end(presented, origin, reasonOf);
  }

  /** Same as {@link endByToken}, for a session whose name was kept. */
  async end(
    { userId, sessionDigest }: SessionName,
    origin: Origin,
    reasonOf: (clientId: string) => DeletionReason,
  ): Promise<DeviceRef | null> {
    return this.unitOfWork.run(async (tx) => {
      const found = await this.store.findOAuth(tx, userId, sessionDigest);
      if (found === null) return null;
      const device = { userId, deviceId: found.deviceId };
      const locked = await this.devices.lock(tx, [device]);
      // Another request may have ended or replaced the session before the device was locked.
      const session = await this.store.findOAuth(tx, userId, sessionDigest);
      if (session === null) return null;
      await this.endings.endLocked(tx, locked, { reason: reasonOf(session.clientId), origins: origin });
      return device;
    });
  }

  /** The client of each session of a user that belongs to one, by device ID. */
  async clientsOf(userId: string): Promise<ReadonlyMap<string, string>> {
    const sessions = await this.store.listClients(userId);
    return new Map(sessions.map(({ deviceId, clientId }) => [deviceId, clientId]));
  }
}
