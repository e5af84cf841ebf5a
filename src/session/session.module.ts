import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AccountsModule } from '../accounts/accounts.module.js';
import { UiaModule } from '../uia/uia.module.js';
import { AccessTokenEntity } from './access-token.entity.js';
import { LoginController } from './login/login.controller.js';
import { LoginService } from './login/login.service.js';
import { RefreshTokenEntity } from './refresh-token.entity.js';
import { RefreshController } from './refresh/refresh.controller.js';
import { RegisterController } from './register/register.controller.js';
import { RegisterService } from './register/register.service.js';
import { SessionTokenVerifier } from './session-token.verifier.js';
import { SessionController } from './session.controller.js';
import { SessionService } from './session.service.js';
import { SessionStore } from './session.store.js';
import { TokenIssuer } from './token-issuer.js';
import { WhoamiController } from './whoami/whoami.controller.js';

/** The heart: sessions begin, are refreshed, and end here, and nothing else writes a token. */
@Module({
  imports: [TypeOrmModule.forFeature([AccessTokenEntity, RefreshTokenEntity]), AccountsModule, UiaModule],
  controllers: [SessionController, LoginController, RefreshController, RegisterController, WhoamiController],
  providers: [SessionService, SessionStore, TokenIssuer, SessionTokenVerifier, LoginService, RegisterService],
  exports: [SessionService, SessionTokenVerifier],
})
export class SessionModule {}
