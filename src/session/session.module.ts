import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { UiaModule } from '../uia/uia.module.js';
import { AccessTokenEntity } from './access-token.entity.js';
import { AppserviceVerifier } from './appservice.verifier.js';
import { LoginTokenController } from './login-token/login-token.controller.js';
import { LoginTokenEntity } from './login-token.entity.js';
import { EndingDeviceEntity } from './ending/ending-device.entity.js';
import { EndingMetrics } from './ending/ending-metrics.js';
import { EndingService } from './ending/ending.service.js';
import { EndingSweeper } from './ending/ending-sweeper.js';
import { EndingStore } from './ending/ending.store.js';
import { UnservedSessionsService } from './ending/unserved-sessions.service.js';
import { AppserviceLogin } from './login/appservice-login.js';
import { LoginFlows } from './login/login-flow.port.js';
import { ImportedTokensStore } from './import/imported-tokens.store.js';
import { SessionImportService } from './import/session-import.service.js';
import { LoginController } from './login/login.controller.js';
import { LoginService } from './login/login.service.js';
import { RefreshTokenEntity } from './refresh-token.entity.js';
import { OAuthSessionsService } from './oauth-sessions.service.js';
import { RefreshController } from './refresh/refresh.controller.js';
import { RefreshService } from './refresh/refresh.service.js';
import { SessionAccountsListener } from './session-accounts.listener.js';
import { SessionFamilyEntity } from './session-family.entity.js';
import { SessionTokenVerifier } from './session-token.verifier.js';
import { SessionController } from './session.controller.js';
import { SessionHousekeeping } from './session.housekeeping.js';
import { SessionService } from './session.service.js';
import { SessionStartService } from './session-start.service.js';
import { LogoutTransaction } from './logout.transaction.js';
import { LoginProofs } from './login/login-proofs.js';
import { LoginTransaction } from './login/login.transaction.js';
import { LoginTokenRedemption } from './login-token/login-token.redemption.js';
import { LoginTokenService } from './login-token/login-token.service.js';
import { RefreshTransaction } from './refresh/refresh.transaction.js';
import { ExpiredSessionsService } from './ending/expired-sessions.service.js';
import { SessionStore } from './session.store.js';
import { TokenIssuer } from './token-issuer.js';
import { WhoamiController } from './whoami/whoami.controller.js';

/** Starts, refreshes and ends sessions. No other module writes tokens. */
// Global, so that a team's module can add a login type.
@Global()
@Module({
  imports: [
    TypeOrmModule.forFeature([
      AccessTokenEntity,
      RefreshTokenEntity,
      LoginTokenEntity,
      SessionFamilyEntity,
      EndingDeviceEntity,
    ]),
    UiaModule,
  ],
  controllers: [
    SessionController,
    LoginController,
    LoginTokenController,
    RefreshController,
    WhoamiController,
  ],
  providers: [
    RefreshService,
    EndingMetrics,
    EndingService,
    EndingSweeper,
    EndingStore,
    SessionHousekeeping,
    ImportedTokensStore,
    SessionImportService,
    UnservedSessionsService,
    OAuthSessionsService,
    SessionService,
    SessionStartService,
    LogoutTransaction,
    LoginProofs,
    LoginTransaction,
    LoginTokenRedemption,
    LoginTokenService,
    RefreshTransaction,
    ExpiredSessionsService,
    SessionStore,
    TokenIssuer,
    SessionTokenVerifier,
    AppserviceVerifier,
    AppserviceLogin,
    SessionAccountsListener,
    LoginFlows,
    LoginService,
  ],
  exports: [
    AppserviceLogin,
    EndingService,
    ExpiredSessionsService,
    LoginFlows,
    LoginProofs,
    LoginService,
    OAuthSessionsService,
    RefreshService,
    SessionImportService,
    SessionService,
    SessionStartService,
    SessionTokenVerifier,
    TokenIssuer,
    UnservedSessionsService,
  ],
})
export class SessionModule {}
