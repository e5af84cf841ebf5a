import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Tx } from '../../database/tx.js';
import { InTransaction } from '../../events/in-transaction.decorator.js';
import { PasswordChanged } from '../../events/password-changed.event.js';
import { EndingService } from '../../session/ending/ending.service.js';
import { BrowserSessionsStore } from './browser-sessions.store.js';

/** Signs browsers out with all other sessions of a user, and when the password changes. */
@Injectable()
export class BrowserSessionsListener implements OnModuleInit {
  constructor(
    private readonly store: BrowserSessionsStore,
    private readonly endings: EndingService,
  ) {}

  onModuleInit(): void {
    this.endings.addCompanion({
      endOf: (tx, userId) => this.store.deleteAll(tx, userId),
      endOld: (...old) => this.store.deleteOld(...old),
    });
  }

  @InTransaction(PasswordChanged)
  async onPasswordChanged({ userId }: PasswordChanged, tx: Tx): Promise<void> {
    await this.store.deleteAll(tx, userId);
  }
}
