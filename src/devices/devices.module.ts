import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DeviceEntity } from './device.entity.js';
import { DevicesController } from './devices.controller.js';
import { DevicesStore } from './devices.store.js';
import { DevicesSessionListener } from './devices-session.listener.js';

/** The devices of users: their endpoints, and the rows that sessions make and unmake. */
@Module({
  imports: [TypeOrmModule.forFeature([DeviceEntity])],
  controllers: [DevicesController],
  providers: [DevicesStore, DevicesSessionListener],
})
export class DevicesModule {}
