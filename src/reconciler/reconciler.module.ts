import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { LostRowsCheck } from './lost-rows.check.js';
import { StuckEventsCheck } from './stuck-events.check.js';
import { UnusedDevicesCheck } from './unused-devices.check.js';
import { ReconcilerChecks } from './reconciler-checks.js';
import { ReconcilerController } from './reconciler.controller.js';
import { ReconcilerRoundEntity } from './reconciler-round.entity.js';
import { ReconcilerService } from './reconciler.service.js';
import { ReconcilerStore } from './reconciler.store.js';

/** Finds and repairs what should be impossible. */
@Module({
  imports: [TypeOrmModule.forFeature([ReconcilerRoundEntity])],
  controllers: [ReconcilerController],
  providers: [
    ReconcilerService,
    ReconcilerStore,
    ReconcilerChecks,
    LostRowsCheck,
    UnusedDevicesCheck,
    StuckEventsCheck,
  ],
  exports: [ReconcilerChecks],
})
export class ReconcilerModule {}
