import { Global, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { UiaModule } from '../uia/uia.module.js';
import { DeviceDeletionService } from './device-deletion.service.js';
import { DevicesController } from './devices.controller.js';
import { DevicesService } from './devices.service.js';
import { DevicesSessionListener } from './devices-session.listener.js';
import { LastSeenGuard } from './last-seen.guard.js';
import { LastSeenService } from './last-seen.service.js';
import { Sessions } from './sessions.js';

/** The devices of users: their endpoints, and the devices that sessions create and delete. */
// Global, so that a team's module can list and end sessions.
@Global()
@Module({
  imports: [UiaModule],
  controllers: [DevicesController],
  providers: [
    DevicesService,
    DeviceDeletionService,
    DevicesSessionListener,
    LastSeenService,
    Sessions,
    { provide: APP_GUARD, useClass: LastSeenGuard },
  ],
  exports: [DevicesService, LastSeenService, Sessions],
})
export class DevicesModule {}
