import { Module } from '@nestjs/common';
import { NoEndpointController } from '../oauth/no-endpoint.controller.js';
import { AccountActions } from './account/account-actions.service.js';
import { AccountActionsController, SessionActionsController } from './account/account-actions.controller.js';
import { AccountPageController } from './account/account.controller.js';
import { AccountPages } from './account/account.pages.js';
import { AccountViewService } from './account/account-view.service.js';
import { ResetController } from './account/reset.controller.js';
import { ResetService } from './account/reset.service.js';
import { AssetsController, NoPageController } from './assets.controller.js';
import { BrowserSessions } from './browser/browser-sessions.service.js';
import { ConsentController } from './consent/consent.controller.js';
import { ConsentPages } from './consent/consent.pages.js';
import { LoginFallbackController } from './fallback/login-fallback.controller.js';
import { LoginFallbackPages } from './fallback/login-fallback.pages.js';
import { StageFallbackController } from './fallback/stage-fallback.controller.js';
import { StageFallbackPages } from './fallback/stage-fallback.pages.js';
import { LinkController } from './link/link.controller.js';
import { LinkService } from './link/link.service.js';
import { UserCodes } from './link/user-codes.js';
import { LookService } from './look.service.js';
import { PageSender } from './page-sender.js';
import { Proofs } from './proof.service.js';
import { PasswordAdviceController, RegisterPageController } from './sign-in/register.controller.js';
import { SignInController, SignOutController } from './sign-in/sign-in.controller.js';
import { SignInPages } from './sign-in/sign-in.pages.js';
import { SignInService } from './sign-in/sign-in.service.js';
import { Visits } from './visits.service.js';

/** The pages where people sign in, let apps and devices in, and look after their account. */
@Module({
  controllers: [
    SignInController,
    SignOutController,
    RegisterPageController,
    PasswordAdviceController,
    ConsentController,
    LinkController,
    AccountPageController,
    SessionActionsController,
    AccountActionsController,
    ResetController,
    AssetsController,
    LoginFallbackController,
    StageFallbackController,
    NoPageController,
    NoEndpointController,
  ],
  providers: [
    AccountActions,
    AccountPages,
    AccountViewService,
    BrowserSessions,
    ConsentPages,
    LinkService,
    LoginFallbackPages,
    LookService,
    PageSender,
    Proofs,
    ResetService,
    SignInPages,
    SignInService,
    StageFallbackPages,
    UserCodes,
    Visits,
  ],
})
export class AccountPagesModule {}
