import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Entropy } from '../system/entropy.js';
import { warnUnlessOutage } from '../system/outage.js';
import { PasswordHasher } from '../system/password-hasher.js';
import { AccountsStore } from './accounts.store.js';

const INTERVAL_MS = 60 * 60 * 1_000;

/**
 * Keeps the time that an unknown user costs at what most users cost: hashes that were made with other settings stay
 * until their users log in, and would tell who exists.
 */
@Injectable()
export class PasswordDecoy implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(PasswordDecoy.name);
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly store: AccountsStore,
    private readonly hasher: PasswordHasher,
    private readonly entropy: Entropy,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    this.timer = setInterval(() => void this.look(), INTERVAL_MS).unref();
    await this.look();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  /** Looks at some accounts, others each time. It never rejects. */
  async look(): Promise<void> {
    try {
      const somewhere = `@${this.entropy.text(1, 'abcdefghijklmnopqrstuvwxyz')}`;
      const settings =
        (await this.store.commonHashSettings(somewhere)) ?? (await this.store.commonHashSettings(''));
      if (settings !== null) await this.hasher.imitate(settings);
    } catch (error) {
      warnUnlessOutage(this.logger, 'How passwords were hashed could not be looked at', error);
    }
  }
}
