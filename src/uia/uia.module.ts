import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DummyStage } from './dummy.stage.js';
import { RegistrationTokenStage } from './registration-token.stage.js';
import { RegistrationTokenEntity } from './registration-token.entity.js';
import { RegistrationTokensStore } from './registration-tokens.store.js';
import { RegistrationTokens } from './registration-tokens.js';
import { UiaSessionEntity } from './uia-session.entity.js';
import { UiaSessions } from './uia-sessions.js';
import { UiaStages } from './uia-stages.js';
import { UiaHousekeeping } from './uia.housekeeping.js';
import { UiaApprovals } from './uia-approvals.js';
import { UiaFallback } from './uia-fallback.js';
import { UiaService } from './uia.service.js';
import { UiaStore } from './uia.store.js';

// Global, so that other teams' modules can add stages.
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([UiaSessionEntity, RegistrationTokenEntity])],
  providers: [
    UiaApprovals,
    UiaFallback,
    UiaService,
    UiaSessions,
    UiaStore,
    UiaHousekeeping,
    UiaStages,
    DummyStage,
    RegistrationTokenStage,
    RegistrationTokens,
    RegistrationTokensStore,
  ],
  exports: [UiaApprovals, UiaFallback, UiaService, UiaStages, RegistrationTokens],
})
export class UiaModule {}
