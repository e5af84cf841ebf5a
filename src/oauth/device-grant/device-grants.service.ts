import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { OAuthError } from '../../matrix/oauth-error.js';
import { Clock } from '../../system/clock.js';
import { Entropy } from '../../system/entropy.js';
import { type Granted, GrantsService, invalidGrant } from '../authorization/grants.service.js';
import type { Client } from '../clients/clients.store.js';
import type { Scope } from '../scope.rules.js';
import type { OAuthDeviceGrantEntity } from './device-grant.entity.js';
import { DeviceGrantsStore } from './device-grants.store.js';
import { pollOf, slower } from './poll.rules.js';
import { newUserCode } from './user-code.rules.js';

export const DEVICE_CODE_LIFE_MS = 20 * 60_000;
export const POLL_INTERVAL_MS = 5_000;
const CODE_BYTES = 32;
const USER_AGENT_LIMIT = 512;

const DESCRIPTIONS = {
  access_denied: 'The user has refused',
  expired_token: 'Nobody has decided in time: ask for a new device code',
  authorization_pending: 'The user has not decided yet',
  slow_down: 'Wait 5 seconds longer between two requests from now on',
};

/** The codes of a new request. */
export interface DeviceCodes {
  readonly deviceCode: string;
  /** Without its dash. */
  readonly userCode: string;
}

/** Signs in devices whose user types a code on another one (RFC 8628). */
@Injectable()
export class DeviceGrantsService {
  constructor(
    private readonly store: DeviceGrantsStore,
    private readonly grants: GrantsService,
    private readonly unitOfWork: UnitOfWork,
    private readonly clock: Clock,
    private readonly entropy: Entropy,
  ) {}

  /** Stores a request, and returns the codes for the device and its user. */
  async begin(
    { clientId }: Client,
    { text, deviceId }: Scope,
    { address, userAgent }: Origin,
  ): Promise<DeviceCodes> {
    const issuedAt = this.clock.now();
    const deviceCode = this.entropy.bytes(CODE_BYTES).toString('base64url');
    for (;;) {
      const userCode = newUserCode(this.entropy);
      const isNew = await this.store.insert({
        deviceCodeDigest: digestOf(deviceCode),
        userCode,
        clientId,
        scope: text,
        deviceId,
        address,
        userAgent: userAgent?.slice(0, USER_AGENT_LIMIT) ?? null,
        issuedAt,
        expiresAt: new Date(issuedAt.getTime() + DEVICE_CODE_LIFE_MS),
        intervalMs: POLL_INTERVAL_MS,
      });
      if (isNew) return { deviceCode, userCode };
    }
  }

  /**
   * Begins the session of a device code once its user has agreed, and once only.
   * @throws {OAuthError} 400 `authorization_pending`, `slow_down`, `access_denied`, `expired_token`, `invalid_grant`
   */
  async redeem(deviceCode: string, client: Client, origin: Origin): Promise<Granted> {
    const grantDigest = digestOf(deviceCode);
    const polled = await this.unitOfWork.run(async (tx) => {
      const grant = await this.store.lockPolled(tx, grantDigest, client.clientId);
      // Another question is being answered, and none of them may wait for it with a connection.
      if (grant === null) {
        const isKnown = await this.store.isKnown(tx, grantDigest, client.clientId);
        return isKnown ? { poll: 'slow_down' as const, userId: null } : null;
      }
      const poll = pollOf(grant, tx.startedAt);
      const { userId, intervalMs } = grant;
      if (poll === 'slow_down') await this.store.poll(tx, grantDigest, slower(intervalMs));
      else if (poll === 'authorization_pending') await this.store.poll(tx, grantDigest, intervalMs);
      return { poll, userId };
    });
    if (polled === null) throw invalidGrant();
    const { poll, userId } = polled;
    if (poll !== 'approved') throw new OAuthError(400, poll, DESCRIPTIONS[poll]);
    const isDeviceCode = ({ codeChallenge }: { codeChallenge: string | null }) => codeChallenge === null;
    return this.grants.redeem({ userId: userId!, grantDigest }, client, isDeviceCode, origin);
  }

  /** The request that waits for its user to type this code; `null` if there is none. */
  findOpen(userCode: string): Promise<OAuthDeviceGrantEntity | null> {
    return this.store.findOpen(userCode, this.clock.now());
  }

  /**
   * Lets the device in, or refuses it, once. The user's account must be held.
   * @returns the request; `null` if it does not wait any more
   */
  async decide(
    tx: Tx,
    userCode: string,
    userId: string,
    isApproved: boolean,
  ): Promise<OAuthDeviceGrantEntity | null> {
    const grant = await this.store.decide(tx, userCode, isApproved ? 'approved' : 'refused', userId);
    if (grant === null || !isApproved) return grant;
    await this.grants.give(tx, {
      userId,
      grantDigest: grant.deviceCodeDigest,
      clientId: grant.clientId,
      scope: grant.scope,
      deviceId: grant.deviceId,
      redirectUri: null,
      codeChallenge: null,
      expiresAt: grant.expiresAt,
    });
    return grant;
  }
}

function digestOf(deviceCode: string): Buffer {
  return createHash('sha256').update(deviceCode).digest();
}
