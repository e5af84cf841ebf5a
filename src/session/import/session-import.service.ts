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
  readonly accounts: number;
  readonly devices: number;
  readonly accessTokens: number;
  readonly refreshTokens: number;
  /** Devices and tokens that this service could not serve. */
  readonly skipped: number;
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

  /** Imports users with their devices and tokens. What was imported before is not changed. */
  async import(tx: Tx, { accounts, devices, accessTokens, refreshTokens }: SessionImport): Promise<Imported> {
    const usable = devices
      .filter(({ deviceId }) => isDeviceId(deviceId) && deviceId !== '')
      .map((device) => ({
        ...device,
        displayName: device.displayName === null ? null : shortened(device.displayName),
      }));
    const known = new Set(usable.map(deviceKey));
    const read = (kind: 'mxa' | 'mxr', tokens: readonly ForeignToken[]) =>
      tokens.flatMap(({ token: text, ...rest }) => {
        const token = this.tokens.read(kind, text);
        const isServed = token?.userId === rest.userId && known.has(deviceKey(rest));
        return isServed ? [{ ...rest, token }] : [];
      });
    const access = read('mxa', accessTokens);
    const refresh = read('mxr', refreshTokens);
    const made = {
      accounts: await this.accounts.import(tx, accounts),
      devices: await this.devices.import(tx, usable),
      accessTokens: await this.store.importAccessTokens(tx, access),
      refreshTokens: await this.store.importRefreshTokens(tx, refresh),
    };
    const given = devices.length + accessTokens.length + refreshTokens.length;
    return { ...made, skipped: given - usable.length - access.length - refresh.length };
  }
}
