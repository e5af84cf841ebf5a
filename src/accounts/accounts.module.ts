import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { UiaModule } from '../uia/uia.module.js';
import { AccountController } from './account/account.controller.js';
import { AccountManagementService } from './account/account-management.service.js';
import { OwnAccount } from './account/own-account.js';
import { AccountAdministration } from './account-administration.service.js';
import { AccountEntity } from './account.entity.js';
import { AccountsService } from './accounts.service.js';
import { AccountsStore } from './accounts.store.js';
import { LoginNames } from './login-names.js';
import { PasswordDecoy } from './password-decoy.js';
import { PasswordMetrics } from './password-metrics.js';
import { PasswordProofs } from './password-proofs.js';
import { PasswordStage } from './password.stage.js';
import { PasswordsService } from './passwords.service.js';

/** Accounts and their passwords. */
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([AccountEntity]), UiaModule],
  controllers: [AccountController],
  providers: [
    AccountAdministration,
    AccountsService,
    AccountsStore,
    AccountManagementService,
    OwnAccount,
    PasswordDecoy,
    PasswordMetrics,
    LoginNames,
    PasswordProofs,
    PasswordsService,
    PasswordStage,
  ],
  exports: [
    AccountAdministration,
    AccountManagementService,
    AccountsService,
    PasswordProofs,
    PasswordsService,
  ],
})
export class AccountsModule {}
