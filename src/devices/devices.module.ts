import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { RateLimitsModule } from '../rate-limits/rate-limits.module.js';
import { SessionModule } from '../session/session.module.js';
import { UiaModule } from '../uia/uia.module.js';
import { DeviceDeletionService } from './device-deletion.service.js';
import { DeviceEntity } from './device.entity.js';
import { DevicesController } from './devices.controller.js';
import { DevicesService } from './devices.service.js';
import { DevicesStore } from './devices.store.js';
import { DevicesSessionListener } from './devices-session.listener.js';
import { LastSeenGuard } from './last-seen.guard.js';
import { LastSeenService } from './last-seen.service.js';

/** The devices of users: their endpoints, and the rows that sessions make and unmake. */
@Module({
  imports: [TypeOrmModule.forFeature([DeviceEntity]), SessionModule, UiaModule, RateLimitsModule],
  controllers: [DevicesController],
  providers: [
    DevicesService,
    DeviceDeletionService,
    DevicesStore,
    DevicesSessionListener,
    LastSeenService,
    { provide: APP_GUARD, useClass: LastSeenGuard },
  ],
})
export class DevicesModule {}
