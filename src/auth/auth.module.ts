import { type DynamicModule, Module, type Type } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { BearerGuard } from './bearer.guard.js';
import { BearerStrategy } from './bearer.strategy.js';
import { TokenVerifier } from './token-verifier.port.js';

/** Who is calling. Which tokens exist is not its business: a verifier of another module says so. */
@Module({})
export class AuthModule {
  /** Guards every route of the application with the verifier that `module` exports. */
  static verifiedBy(module: Type, verifier: Type<TokenVerifier>): DynamicModule {
    return {
      module: AuthModule,
      // Whoever acts for a caller after a while asks again.
      global: true,
      imports: [module],
      exports: [TokenVerifier],
      providers: [
        { provide: TokenVerifier, useExisting: verifier },
        BearerStrategy,
        { provide: APP_GUARD, useClass: BearerGuard },
      ],
    };
  }
}
