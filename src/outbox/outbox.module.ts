import { Global, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventRecorder } from '../events/event-recorder.port.js';
import { Arrivals } from './arrivals.js';
import { AfterCommitExplorer } from './after-commit.explorer.js';
import { DeliveryWatch } from './delivery-watch.js';
import { EventDeliveryEntity } from './event-delivery.entity.js';
import { EventSubscriptionEntity } from './event-subscription.entity.js';
import { LaneMaker } from './lane.js';
import { OutboxMetrics } from './outbox-metrics.js';
import { OutboxController } from './outbox.controller.js';
import { OutboxService } from './outbox.service.js';
import { OutboxStore } from './outbox.store.js';
import { OutboxWorker } from './outbox.worker.js';
import { Subscribers } from './subscribers.js';

/** The outbox, by which events survive a crash: append, lease, deliver, retry, bury. */
@Global()
@Module({
  imports: [DiscoveryModule, TypeOrmModule.forFeature([EventDeliveryEntity, EventSubscriptionEntity])],
  controllers: [OutboxController],
  providers: [
    AfterCommitExplorer,
    Arrivals,
    DeliveryWatch,
    LaneMaker,
    OutboxMetrics,
    OutboxService,
    OutboxStore,
    OutboxWorker,
    Subscribers,
    { provide: EventRecorder, useExisting: OutboxService },
  ],
  exports: [EventRecorder, OutboxService, OutboxWorker, Subscribers],
})
export class OutboxModule {}
