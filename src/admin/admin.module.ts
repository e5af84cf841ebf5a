import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SessionModule } from '../session/session.module.js';
import { UiaModule } from '../uia/uia.module.js';
import { EndingJobEntity } from './jobs/ending-job.entity.js';
import { EndingJobsController } from './jobs/ending-jobs.controller.js';
import { EndingJobsHousekeeping } from './jobs/ending-jobs.housekeeping.js';
import { EndingJobsRunner } from './jobs/ending-jobs.runner.js';
import { EndingJobs } from './jobs/ending-jobs.service.js';
import { EndingJobsStore } from './jobs/ending-jobs.store.js';
import { EndingJobsWorker } from './jobs/ending-jobs.worker.js';
import { RestrictionsController } from './restrictions.controller.js';
import { RestrictionsService } from './restrictions.service.js';
import { AdminLogoutController } from './sessions/logout.controller.js';
import { AdminSessionsController } from './sessions/sessions.controller.js';
import { AdminSessions } from './sessions/sessions.service.js';
import { AdminSessionsStore } from './sessions/sessions.store.js';
import { RegistrationTokensController } from './tokens/registration-tokens.controller.js';
import { AdminRegistrationTokens } from './tokens/registration-tokens.service.js';
import { AdminUsersController } from './users/users.controller.js';
import { AdminUsers } from './users/users.service.js';
import { AdminUsersStore } from './users/users.store.js';

/** What administrators may do to users, sessions and registration tokens. */
@Module({
  imports: [TypeOrmModule.forFeature([EndingJobEntity]), SessionModule, UiaModule],
  controllers: [
    RestrictionsController,
    AdminUsersController,
    AdminSessionsController,
    AdminLogoutController,
    EndingJobsController,
    RegistrationTokensController,
  ],
  providers: [
    RestrictionsService,
    AdminUsers,
    AdminUsersStore,
    AdminSessions,
    AdminSessionsStore,
    EndingJobs,
    EndingJobsStore,
    EndingJobsWorker,
    EndingJobsRunner,
    EndingJobsHousekeeping,
    AdminRegistrationTokens,
  ],
})
export class AdminModule {}
