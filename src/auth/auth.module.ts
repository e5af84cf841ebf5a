import { type DynamicModule, Module, type Type } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AdminToken } from './admin-token.js';
import { BearerGuard } from './bearer.guard.js';
import { BearerStrategy } from './bearer.strategy.js';
import { TokenVerifier } from './token-verifier.port.js';

/** Authenticates requests. A verifier from another module decides which tokens are valid. */
@Module({})
export class AuthModule {
  /** Guards every route of the application with the verifier that `module` exports. */
  static verifiedBy(module: Type, verifier: Type<TokenVerifier>): DynamicModule {
    return {
      module: AuthModule,
      // Other modules check again, later in a request, that the caller's session still exists.
      global: true,
      imports: [module],
      exports: [TokenVerifier, AdminToken],
      providers: [
        { provide: TokenVerifier, useExisting: verifier },
        BearerStrategy,
        AdminToken,
        { provide: APP_GUARD, useClass: BearerGuard },
      ],
    };
  }
}
