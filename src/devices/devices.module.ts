import { Module } from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SessionModule } from '../session/session.module.js';
import { UiaModule } from '../uia/uia.module.js';
import { DeviceDeletionService } from './device-deletion.service.js';
import { DeviceEntity } from './device.entity.js';
import { DevicesController } from './devices.controller.js';
import { DevicesService } from './devices.service.js';
import { DevicesStore } from './devices.store.js';
import { DevicesSessionListener } from './devices-session.listener.js';
import { LastSeenInterceptor } from './last-seen.interceptor.js';
import { LastSeenService } from './last-seen.service.js';

/** The devices of users: their endpoints, and the rows that sessions make and unmake. */
@Module({
  imports: [TypeOrmModule.forFeature([DeviceEntity]), SessionModule, UiaModule],
  controllers: [DevicesController],
  providers: [
    DevicesService,
    DeviceDeletionService,
    DevicesStore,
    DevicesSessionListener,
    LastSeenService,
    { provide: APP_INTERCEPTOR, useClass: LastSeenInterceptor },
  ],
})
export class DevicesModule {}
