import { type DynamicModule, Module } from '@nestjs/common';
import { AccountsModule } from './accounts/accounts.module.js';
import { AdminModule } from './admin/admin.module.js';
import { AppservicesModule } from './appservices/appservices.module.js';
import { AuditModule } from './audit/audit.module.js';
import { AuthModule } from './auth/auth.module.js';
import { type AsyncComposition, type Composition, CompositionModule, type Setup } from './composition.js';
import { DatabaseModule } from './database/database.module.js';
import { Parts } from './config/parts.js';
import { DeletionLimitModule } from './devices/deletion-limit.module.js';
import { DeviceRowsModule } from './device-rows/device-rows.module.js';
import { DevicesModule } from './devices/devices.module.js';
import { DiscoveryModule } from './discovery/discovery.module.js';
import { EventsModule } from './events/events.module.js';
import { HealthModule } from './health/health.module.js';
import { KeysModule } from './keys/keys.module.js';
import { MatrixModule } from './matrix/matrix.module.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { NatsModule } from './nats/nats.module.js';
import { OutboxModule } from './outbox/outbox.module.js';
import { RateLimitsModule } from './rate-limits/rate-limits.module.js';
import { ReconcilerModule } from './reconciler/reconciler.module.js';
import { RegisterModule } from './session/register/register.module.js';
import { SessionTokenVerifier } from './session/session-token.verifier.js';
import { SessionModule } from './session/session.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

/**
 * The whole service, and the only file that knows every module. `createApplication` puts an application around it;
 * in one of your own it needs an application made with {@link matrixExpress}. Its guards, pipe and filter are those
 * of the whole application: controllers of yours want a token, too, unless they are `@Public()`.
 *
 * @example
 * ```ts
 * @Module({ imports: [AppModule.forRoot({ environment, database: { url }, extensions: [PushersModule] })] })
 * class RootModule {}
 * ```
 */
@Module({})
export class AppModule {
  /** The service, of values that are there already. */
  static forRoot({ extensions, migrations, without, ...setup }: Composition): DynamicModule {
    return AppModule.composedOf({ extensions, migrations, without, useFactory: () => setup }, setup);
  }

  /** For a setup, or ports, that need providers of yours: `useFactory` gets what `inject` names, out of `imports`. */
  static forRootAsync(composition: AsyncComposition): DynamicModule {
    return AppModule.composedOf(composition);
  }

  private static composedOf(composition: AsyncComposition, known?: Setup): DynamicModule {
    const { extensions = [], without = [] } = composition;
    const parts = new Parts(without);
    return {
      module: AppModule,
      imports: [
        CompositionModule.forRoot(composition, known),
        DatabaseModule,
        RateLimitsModule,
        MetricsModule,
        EventsModule,
        OutboxModule,
        AuditModule,
        WebhooksModule,
        NatsModule,
        // Guards run in the order of this list: nobody's body is read before it is known who sends it.
        AuthModule.verifiedBy(SessionModule, SessionTokenVerifier),
        MatrixModule,
        DiscoveryModule,
        HealthModule,
        AppservicesModule,
        AccountsModule,
        AdminModule,
        DeviceRowsModule,
        SessionModule,
        ...(parts.has('register') ? [RegisterModule] : []),
        DevicesModule,
        ...(parts.has('keys') ? [KeysModule] : []),
        ...(extensions.length === 0 ? [] : [DeletionLimitModule, ...extensions]),
        ReconcilerModule,
      ],
    };
  }
}
