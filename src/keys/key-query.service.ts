import { Injectable } from '@nestjs/common';
import type { Requester } from '../auth/requester.js';
import { Environment } from '../config/environment.js';
import { byServer, toQuery } from './keys.rules.js';
import { KeysStore } from './keys.store.js';
import { toQueriedKeys } from './queried-keys.rules.js';
import type { QueriedKeysDto, QueryKeysDto } from './query-keys.dto.js';

/** Looks up the public keys of users and their devices. */
@Injectable()
export class KeyQueryService {
  constructor(
    private readonly store: KeysStore,
    private readonly environment: Environment,
  ) {}

  /**
   * Returns the keys of this server's users and their devices. Users and devices that do not exist are left out.
   * @throws {MatrixError} `M_BAD_JSON`; `M_INVALID_PARAM` for too many users or devices; `M_TOO_LARGE` if the answer
   *   would be too large
   */
  async query({ userId }: Requester, { device_keys }: QueryKeysDto): Promise<QueriedKeysDto> {
    const wanted = toQuery(device_keys, this.environment.limits);
    const { local, failures } = byServer([...wanted.keys()], this.environment.serverName);
    const found = local.length === 0 ? [] : await this.store.query(local, userId);
    return { failures, ...toQueriedKeys(found, wanted, userId) };
  }
}
