import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DeviceEntity } from './device.entity.js';
import { DeviceRows } from './device-rows.js';
import { DeviceTables } from './device-tables.js';

/** The rows of devices, and what belongs to them: below the modules that have such rows. */
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([DeviceEntity])],
  providers: [DeviceRows, DeviceTables],
  exports: [DeviceRows, DeviceTables],
})
export class DeviceRowsModule {}
