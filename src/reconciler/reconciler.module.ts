import { Module } from '@nestjs/common';
import { ReconcilerController } from './reconciler.controller.js';
import { ReconcilerService } from './reconciler.service.js';
import { ReconcilerStore } from './reconciler.store.js';

/** Finds and mends what should be impossible. */
@Module({ controllers: [ReconcilerController], providers: [ReconcilerService, ReconcilerStore] })
export class ReconcilerModule {}
