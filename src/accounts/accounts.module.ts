import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Environment } from '../config/environment.js';
import { RateLimitsModule } from '../rate-limits/rate-limits.module.js';
import { UiaModule } from '../uia/uia.module.js';
import { AccountController } from './account/account.controller.js';
import { AccountService } from './account/account.service.js';
import { AccountEntity } from './account.entity.js';
import { AccountsService } from './accounts.service.js';
import { AccountsStore } from './accounts.store.js';
import { ListPasswordPolicy } from './password-policy.js';
import { PasswordPolicy } from './password-policy.port.js';
import { PasswordStage } from './password.stage.js';
import { PasswordsService } from './passwords.service.js';
import { NoThreepids, ThreepidDirectory } from './threepid-directory.port.js';

/** What a team may put in the place of the service's own. */
export interface AccountPorts {
  readonly passwordPolicy?: PasswordPolicy;
  readonly threepids?: ThreepidDirectory;
}

/** Who exists, and what proves it. */
@Module({})
export class AccountsModule {
  static forRoot({ passwordPolicy, threepids = new NoThreepids() }: AccountPorts): DynamicModule {
    return {
      module: AccountsModule,
      global: true,
      imports: [TypeOrmModule.forFeature([AccountEntity]), UiaModule, RateLimitsModule],
      controllers: [AccountController],
      providers: [
        AccountsService,
        AccountsStore,
        AccountService,
        PasswordsService,
        PasswordStage,
        { provide: ThreepidDirectory, useValue: threepids },
        {
          provide: PasswordPolicy,
          inject: [Environment],
          useFactory: (environment: Environment) =>
            passwordPolicy ?? new ListPasswordPolicy(environment.passwordMinLength),
        },
      ],
      exports: [AccountsService, PasswordsService],
    };
  }
}
