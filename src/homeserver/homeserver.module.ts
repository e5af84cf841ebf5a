import { Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Environment, EnvironmentError } from '../config/environment.js';
import { Parts } from '../config/parts.js';
import { ReconcilerChecks } from '../reconciler/reconciler-checks.js';
import { ReconcilerModule } from '../reconciler/reconciler.module.js';
import { UiaModule } from '../uia/uia.module.js';
import { CrossSigningResetController } from './client-api/cross-signing-reset.controller.js';
import { CrossSigningResetService } from './client-api/cross-signing-reset.service.js';
import { GateController } from './client-api/gate.controller.js';
import { DeliveryMetrics } from './deliveries/delivery-metrics.js';
import { HomeserverDeliveries } from './deliveries/homeserver.deliveries.js';
import { HomeserverSubscriber } from './deliveries/homeserver.subscriber.js';
import { HomeserverWaits } from './deliveries/homeserver-waits.js';
import { SecondLookEntity } from './deliveries/second-look.entity.js';
import { SecondLooks } from './deliveries/second-looks.js';
import { HomeserverStatusController } from './homeserver-status.controller.js';
import { Homeserver } from './homeserver.port.js';
import { SynapseImport } from './import/synapse-import.js';
import { IntrospectionModule } from './introspection/introspection.module.js';
import { Comparison } from './reconciliation/comparison.js';
import { HomeserverCheck } from './reconciliation/homeserver.check.js';
import { Repairs } from './reconciliation/repairs.js';

/** Tells a homeserver about users and devices. Only imported where there is one, or where that is not known yet. */
@Module({
  imports: [TypeOrmModule.forFeature([SecondLookEntity]), IntrospectionModule, ReconcilerModule, UiaModule],
  controllers: [CrossSigningResetController, GateController, HomeserverStatusController],
  providers: [
    Comparison,
    CrossSigningResetService,
    DeliveryMetrics,
    HomeserverCheck,
    HomeserverDeliveries,
    HomeserverSubscriber,
    HomeserverWaits,
    Repairs,
    SecondLooks,
    SynapseImport,
  ],
})
export class HomeserverModule implements OnModuleInit {
  constructor(
    private readonly homeserver: Homeserver,
    private readonly parts: Parts,
    private readonly environment: Environment,
    private readonly checks: ReconcilerChecks,
    private readonly check: HomeserverCheck,
  ) {}

  /** Where the setup is known only now, the keys endpoints are there unless the team left them out. */
  onModuleInit(): void {
    if (!this.homeserver.exists) return;
    if (this.parts.has('keys'))
      throw new EnvironmentError(["With a homeserver, keys are kept there: set without: ['keys']"]);
    if (this.environment.homeserver.reconcile !== 'off') this.checks.add(this.check);
  }
}
