import { type DynamicModule, Module } from '@nestjs/common';
import { Clock, SystemClock } from './clock.js';
import { Entropy, SystemEntropy } from './entropy.js';
import { PasswordHasher, type PasswordHashing } from './password-hasher.js';

/** What a team may put in the place of the machine's own clock and randomness. */
export interface SystemPorts {
  readonly clock?: Clock;
  readonly entropy?: Entropy;
}

/** The impure world behind doors: time, randomness, hashing. */
@Module({})
export class SystemModule {
  static forRoot(
    passwordHashing: PasswordHashing,
    { clock = new SystemClock(), entropy = new SystemEntropy() }: SystemPorts,
  ): DynamicModule {
    return {
      module: SystemModule,
      global: true,
      providers: [
        { provide: Clock, useValue: clock },
        { provide: Entropy, useValue: entropy },
        { provide: PasswordHasher, useValue: new PasswordHasher(passwordHashing) },
      ],
      exports: [Clock, Entropy, PasswordHasher],
    };
  }
}
