import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import type { ImportedAccount } from '../../accounts/accounts.store.js';
import type { Tx } from '../../database/tx.js';
import { DeviceRows, type ImportedDevice } from '../../device-rows/device-rows.js';
import { isDeviceId, shortened } from '../../device-rows/device.rules.js';
import { deviceKey, type DeviceRef } from '../../events/devices-deleted.event.js';
import { TokenIssuer } from '../token-issuer.js';
import { ImportedTokensStore } from './imported-tokens.store.js';

/** A token as the other server has it, in clear. */
export interface ForeignToken extends DeviceRef {
  readonly token: string;
  readonly expiresAt: Date | null;
}

/** Users of another server, with their sessions. */
export interface SessionImport {
  readonly accounts: readonly ImportedAccount[];
  readonly devices: readonly ImportedDevice[];
  readonly accessTokens: readonly ForeignToken[];
  /** The current one of each device. */
  readonly refreshTokens: readonly ForeignToken[];
}

/** How many rows an import has made or changed. */
export interface Imported {
  /** The users who have an account since. */
  readonly userIds: readonly string[];
  readonly devices: number;
  readonly accessTokens: number;
  readonly refreshTokens: number;
  /** Users with devices or tokens that this service cannot serve, which are left out. */
  readonly incomplete: readonly string[];
}

/** Imports the sessions of another server. Nobody hears of it by events: the homeserver has all of them already. */
@Injectable()
export class SessionImportService {
  constructor(
    private readonly accounts: AccountsService,
    private readonly devices: DeviceRows,
    private readonly store: ImportedTokensStore,
    private readonly tokens: TokenIssuer,
  ) {}

  /**
   * Imports users with their devices and tokens. Nothing is imported for users who have an account already: what has
   * ended here since an earlier import must not come back.
   */
  async import(tx: Tx, batch: SessionImport): Promise<Imported> {
    const made = new Set(await this.accounts.import(tx, batch.accounts));
    const ofMade = <Row extends { readonly userId: string }>(rows: readonly Row[]) =>
      rows.filter(({ userId }) => made.has(userId));
    const [devices, accessTokens, refreshTokens] = [
      ofMade(batch.devices),
      ofMade(batch.accessTokens),
      ofMade(batch.refreshTokens),
    ];
    const usable = devices
      .filter(({ deviceId }) => isDeviceId(deviceId) && deviceId !== '')
      .map((device) => ({
        ...device,
        displayName: device.displayName === null ? null : shortened(device.displayName),
      }));
    const known = new Set(usable.map(deviceKey));
    const isServed = (kind: 'mxa' | 'mxr', foreign: ForeignToken) =>
      this.tokens.read(kind, foreign.token)?.userId === foreign.userId && known.has(deviceKey(foreign));
    const read = (kind: 'mxa' | 'mxr', tokens: readonly ForeignToken[]) =>
      tokens
        .filter((foreign) => isServed(kind, foreign))
        .map((foreign) => ({ ...foreign, token: this.tokens.read(kind, foreign.token)! }));
    const imported = {
      userIds: [...made],
      devices: await this.devices.import(tx, usable),
      accessTokens: await this.store.importAccessTokens(tx, read('mxa', accessTokens)),
      refreshTokens: await this.store.importRefreshTokens(tx, read('mxr', refreshTokens)),
    };
    const left = [
      ...devices.filter((device) => !known.has(deviceKey(device))),
      ...accessTokens.filter((token) => !isServed('mxa', token)),
      ...refreshTokens.filter((token) => !isServed('mxr', token)),
    ];
    return { ...imported, incomplete: [...new Set(left.map(({ userId }) => userId))] };
  }
}
