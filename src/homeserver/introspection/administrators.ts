import { Inject, Injectable } from '@nestjs/common';
import { isServerAdmin } from '../../admin-api/server-admin.rules.js';
import type { Requester } from '../../auth/requester.js';
import { Environment } from '../../config/environment.js';
import { HomeserverSecret } from '../homeserver-secret.js';
import { administrator, type Introspection } from './introspection.rules.js';

/** Who administrates the homeserver: the administrators of this service, and this service itself. */
@Injectable()
export class Administrators {
  constructor(
    private readonly environment: Environment,
    @Inject(HomeserverSecret) private readonly secret: HomeserverSecret | null,
  ) {}

  include(requester: Pick<Requester, 'userId' | 'isAdmin'>): boolean {
    return isServerAdmin(this.environment, requester);
  }

  /** What the homeserver is told about the token of this service's own user; `null` for any other token. */
  introspect(token: string, now: Date): Introspection | null {
    const { adminUser, url } = this.environment.homeserver;
    const isOwn = url !== null && this.secret?.isAdministratorToken(token, now);
    return isOwn ? administrator(adminUser) : null;
  }
}
