import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DeviceEntity } from './device.entity.js';
import { DeviceRows } from './device-rows.js';
import { DeviceTables } from './device-tables.js';

/** The rows of devices and the registry of what belongs to them. The modules with such rows depend on this one. */
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([DeviceEntity])],
  providers: [DeviceRows, DeviceTables],
  exports: [DeviceRows, DeviceTables],
})
export class DeviceRowsModule {}
