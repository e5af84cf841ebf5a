import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Entropy } from '../system/entropy.js';
import { warnUnlessOutage } from '../system/outage.js';
import { PasswordHasher } from '../system/password-hasher.js';
import { AccountsStore } from './accounts.store.js';

const INTERVAL_MS = 60 * 60 * 1_000;

/**
 * Makes a login of an unknown user take as long as that of most users. Hashes with other settings stay until their
 * users log in, and the difference in time would reveal who exists.
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

  /** Samples some accounts, different ones each time. It never rejects. */
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
