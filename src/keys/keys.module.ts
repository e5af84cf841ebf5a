import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DeviceKeysEntity } from './device-keys.entity.js';
import { FallbackKeyEntity } from './fallback-key.entity.js';
import { KeysDevicesListener } from './keys-devices.listener.js';
import { KeysController } from './keys.controller.js';
import { KeysService } from './keys.service.js';
import { KeysStore } from './keys.store.js';
import { OneTimeKeyEntity } from './one-time-key.entity.js';

/** The public keys of devices: uploaded, queried, and gone with their device. */
@Module({
  imports: [TypeOrmModule.forFeature([DeviceKeysEntity, OneTimeKeyEntity, FallbackKeyEntity])],
  controllers: [KeysController],
  providers: [KeysService, KeysStore, KeysDevicesListener],
})
export class KeysModule {}
