import { Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Environment, EnvironmentError } from '../config/environment.js';
import { Parts } from '../config/parts.js';
import { ReconcilerChecks } from '../reconciler/reconciler-checks.js';
import { ReconcilerModule } from '../reconciler/reconciler.module.js';
import { UiaModule } from '../uia/uia.module.js';
import { CrossSigningResetController } from './client-api/cross-signing-reset.controller.js';
import { CrossSigningResetService } from './client-api/cross-signing-reset.service.js';
import { DeliveryMetrics } from './deliveries/delivery-metrics.js';
import { HomeserverDeliveries } from './deliveries/homeserver.deliveries.js';
import { HomeserverSubscriber } from './deliveries/homeserver.subscriber.js';
import { HomeserverWaits } from './deliveries/homeserver-waits.js';
import { SecondLookEntity } from './deliveries/second-look.entity.js';
import { SecondLooks } from './deliveries/second-looks.js';
import { Homeserver } from './homeserver.port.js';
import { HomeserverSecret } from './homeserver-secret.js';
import { HomeserverStatusController } from './homeserver-status.controller.js';
import { HomeserverStore } from './homeserver.store.js';
import { HomeserverUserEntity } from './homeserver-user.entity.js';
import { HomeserverUsers } from './homeserver-users.js';
import { Administrators } from './introspection/administrators.js';
import { SynapseImport } from './import/synapse-import.js';
import { IntrospectionController } from './introspection/introspection.controller.js';
import { IntrospectionService } from './introspection/introspection.service.js';
import { Comparison } from './reconciliation/comparison.js';
import { HomeserverCheck } from './reconciliation/homeserver.check.js';
import { Repairs } from './reconciliation/repairs.js';
import { ProviderMetadataController } from './provider-metadata.controller.js';

/** Connects the service with a homeserver that trusts its tokens: what it asks, and what it is told. */
@Module({
  imports: [TypeOrmModule.forFeature([HomeserverUserEntity, SecondLookEntity]), ReconcilerModule, UiaModule],
  controllers: [
    CrossSigningResetController,
    HomeserverStatusController,
    IntrospectionController,
    ProviderMetadataController,
  ],
  providers: [
    Administrators,
    Comparison,
    CrossSigningResetService,
    DeliveryMetrics,
    HomeserverCheck,
    HomeserverDeliveries,
    HomeserverStore,
    HomeserverSubscriber,
    HomeserverUsers,
    HomeserverWaits,
    IntrospectionService,
    Repairs,
    SecondLooks,
    SynapseImport,
    {
      provide: HomeserverSecret,
      inject: [Environment],
      useFactory: (environment: Environment) => HomeserverSecret.load(environment),
    },
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
