import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { InTransaction } from '../events/in-transaction.decorator.js';
import { PasswordChanged } from '../events/password-changed.event.js';
import { EndingService } from '../session/ending/ending.service.js';
import { GrantsService } from './authorization/grants.service.js';

/** Deletes what a user has allowed and nobody has fetched, with their sessions and when their password changes. */
@Injectable()
export class OAuthAccountsListener implements OnModuleInit {
  constructor(
    private readonly grants: GrantsService,
    private readonly endings: EndingService,
  ) {}

  onModuleInit(): void {
    this.endings.addCompanion({
      endOf: (tx, userId) => this.grants.forget(tx, userId),
      endOld: (...old) => this.grants.forgetOld(...old),
    });
  }

  @InTransaction(PasswordChanged)
  async onPasswordChanged({ userId }: PasswordChanged, tx: Tx): Promise<void> {
    await this.grants.forget(tx, userId);
  }
}
