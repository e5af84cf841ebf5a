import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ReconcilerController } from './reconciler.controller.js';
import { ReconcilerRoundEntity } from './reconciler-round.entity.js';
import { ReconcilerService } from './reconciler.service.js';
import { ReconcilerStore } from './reconciler.store.js';

/** Finds and mends what should be impossible. */
@Module({
  imports: [TypeOrmModule.forFeature([ReconcilerRoundEntity])],
  controllers: [ReconcilerController],
  providers: [ReconcilerService, ReconcilerStore],
})
export class ReconcilerModule {}
