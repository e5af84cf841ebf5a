import { Injectable } from '@nestjs/common';
import type { AuditAction } from '../../audit/audit-entry.entity.js';
import { AuditService } from '../../audit/audit.service.js';
import type { Tx } from '../../database/tx.js';
import type { RegistrationTokenEntity } from '../../uia/registration-token.entity.js';
import { RegistrationTokens } from '../../uia/registration-tokens.js';
import type { TokenTerms } from '../../uia/registration-tokens.store.js';
import type { ActingOrigin } from '../users/users.service.js';

type TokenAction = Extract<AuditAction, `registration_token_${string}`>;

/** Registration tokens as administrators change them. Each change is an entry of the audit, in its commit. */
@Injectable()
export class AdminRegistrationTokens {
  constructor(
    private readonly tokens: RegistrationTokens,
    private readonly audit: AuditService,
  ) {}

  /**
   * @param token `null`: one is made up
   * @throws {MatrixError} `M_INVALID_PARAM` if the token exists, or cannot be one
   */
  create(token: string | null, terms: TokenTerms, origin: ActingOrigin): Promise<RegistrationTokenEntity> {
    return this.tokens.create(token, terms, origin.actor, (tx, made) =>
      this.record(tx, 'registration_token_created', made, origin),
    );
  }

  /** @throws {MatrixError} `M_NOT_FOUND` */
  change(token: string, terms: Partial<TokenTerms>, origin: ActingOrigin): Promise<RegistrationTokenEntity> {
    return this.tokens.change(token, terms, (tx) =>
      this.record(tx, 'registration_token_changed', token, origin),
    );
  }

  /** @throws {MatrixError} `M_NOT_FOUND` */
  revoke(token: string, origin: ActingOrigin): Promise<void> {
    return this.tokens.revoke(token, (tx) => this.record(tx, 'registration_token_revoked', token, origin));
  }

  private record(tx: Tx, action: TokenAction, token: string, origin: ActingOrigin): void {
    this.audit.record(tx, action, [{ userId: '' }], () => origin, { operation: recognisable(token) });
  }
}

/** Enough of a token to know it in the list. Nobody can register with what an entry holds. */
function recognisable(token: string): string {
  return `${token.slice(0, Math.min(4, token.length >> 1))}…`;
}
