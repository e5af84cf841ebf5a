import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DummyStage } from './dummy.stage.js';
import { UiaSessionEntity } from './uia-session.entity.js';
import { UiaService } from './uia.service.js';
import { UiaStore } from './uia.store.js';

@Module({
  imports: [TypeOrmModule.forFeature([UiaSessionEntity])],
  providers: [UiaService, UiaStore, DummyStage],
  exports: [UiaService],
})
export class UiaModule {}
