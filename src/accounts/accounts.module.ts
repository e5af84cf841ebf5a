import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { UiaModule } from '../uia/uia.module.js';
import { AccountController } from './account/account.controller.js';
import { AccountService } from './account/account.service.js';
import { AccountEntity } from './account.entity.js';
import { AccountsService } from './accounts.service.js';
import { AccountsStore } from './accounts.store.js';
import { PasswordDecoy } from './password-decoy.js';
import { PasswordStage } from './password.stage.js';
import { PasswordsService } from './passwords.service.js';

/** Who exists, and what proves it. */
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([AccountEntity]), UiaModule],
  controllers: [AccountController],
  providers: [AccountsService, AccountsStore, AccountService, PasswordDecoy, PasswordsService, PasswordStage],
  exports: [AccountsService, PasswordsService],
})
export class AccountsModule {}
