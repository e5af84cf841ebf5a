import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { UiaModule } from '../uia/uia.module.js';
import { ClaimTransaction } from './claim.transaction.js';
import { ClaimsService } from './claims.service.js';
import { CrossSigningKeyEntity } from './cross-signing/cross-signing-key.entity.js';
import { CrossSigningKeys } from './cross-signing/cross-signing-keys.js';
import { CrossSigningController } from './cross-signing/cross-signing.controller.js';
import { CrossSigningService } from './cross-signing/cross-signing.service.js';
import { CrossSigningStore } from './cross-signing/cross-signing.store.js';
import { KeySignatureEntity } from './cross-signing/key-signature.entity.js';
import { SignaturesController } from './cross-signing/signatures.controller.js';
import { SignaturesService } from './cross-signing/signatures.service.js';
import { DeviceKeysEntity } from './device-keys.entity.js';
import { DeviceListChangeEntity } from './device-lists/device-list-change.entity.js';
import { DeviceListEntity } from './device-lists/device-list.entity.js';
import { DeviceListsController } from './device-lists/device-lists.controller.js';
import { DeviceListsService } from './device-lists/device-lists.service.js';
import { DeviceListsStore } from './device-lists/device-lists.store.js';
import { FallbackKeyEntity } from './fallback-key.entity.js';
import { KeysDevicesListener } from './keys-devices.listener.js';
import { KeyQueryService } from './key-query.service.js';
import { KeysController } from './keys.controller.js';
import { KeysHousekeeping } from './keys.housekeeping.js';
import { KeysService } from './keys.service.js';
import { KeysStore } from './keys.store.js';
import { OneTimeKeyEntity } from './one-time-key.entity.js';

/** Upload, query and claim of the public keys of users and devices. A device's keys are deleted with the device. */
// Global, so that a team's module can ask for the position of the device-list log.
@Global()
@Module({
  imports: [
    TypeOrmModule.forFeature([
      DeviceKeysEntity,
      OneTimeKeyEntity,
      FallbackKeyEntity,
      CrossSigningKeyEntity,
      KeySignatureEntity,
      DeviceListEntity,
      DeviceListChangeEntity,
    ]),
    UiaModule,
  ],
  controllers: [KeysController, CrossSigningController, SignaturesController, DeviceListsController],
  providers: [
    KeysService,
    KeyQueryService,
    ClaimsService,
    ClaimTransaction,
    KeysStore,
    KeysHousekeeping,
    KeysDevicesListener,
    CrossSigningKeys,
    CrossSigningService,
    CrossSigningStore,
    SignaturesService,
    DeviceListsService,
    DeviceListsStore,
  ],
  exports: [DeviceListsService],
})
export class KeysModule {}
