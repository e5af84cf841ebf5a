import { Global, Module } from '@nestjs/common';
import { Clock, SystemClock } from './clock.js';
import { Entropy, SystemEntropy } from './entropy.js';
import { PasswordHasher } from './password-hasher.js';

/** The impure world behind doors: time, randomness, hashing. */
@Global()
@Module({
  providers: [
    { provide: Clock, useClass: SystemClock },
    { provide: Entropy, useClass: SystemEntropy },
    PasswordHasher,
  ],
  exports: [Clock, Entropy, PasswordHasher],
})
export class SystemModule {}
