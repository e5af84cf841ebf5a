import { type DynamicModule, Module } from '@nestjs/common';
import { BrowserSessionsModule } from './account-pages/browser/browser-sessions.module.js';
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
import { HomeserverModule } from './homeserver/homeserver.module.js';
import { IntrospectionModule } from './homeserver/introspection/introspection.module.js';
import { DiscoveryModule } from './discovery/discovery.module.js';
import { EventsModule } from './events/events.module.js';
import { HealthModule } from './health/health.module.js';
import { KeysModule } from './keys/keys.module.js';
import { MatrixModule } from './matrix/matrix.module.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { NatsModule } from './nats/nats.module.js';
import { ObservabilityModule } from './observability/observability.module.js';
import { OAuthModule } from './oauth/oauth.module.js';
import { OutboxModule } from './outbox/outbox.module.js';
import { AdmissionModule } from './admission/admission.module.js';
import { ReconcilerModule } from './reconciler/reconciler.module.js';
import { RegisterModule } from './session/register/register.module.js';
import { SessionTokenVerifier } from './session/session-token.verifier.js';
import { SessionModule } from './session/session.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

/**
 * The whole service, and the only file that knows every module. `createApplication` makes an application of it. If
 * you import it into your own application, make that one with {@link matrixExpress}. Its guards, pipe and filter
 * apply to the whole application: your controllers need an access token too, unless they are `@Public()`.
 *
 * @example
 * ```ts
 * @Module({ imports: [AppModule.forRoot({ environment, database: { url }, extensions: [PushersModule] })] })
 * class RootModule {}
 * ```
 */
@Module({})
export class AppModule {
  /** The service, when the setup is known already. */
  static forRoot({ extensions, migrations, without, ...setup }: Composition): DynamicModule {
    return AppModule.composedOf({ extensions, migrations, without, useFactory: () => setup }, setup);
  }

  /** For a setup or ports that need your providers: `useFactory` gets those that `inject` names, from `imports`. */
  static forRootAsync(composition: AsyncComposition): DynamicModule {
    return AppModule.composedOf(composition);
  }

  private static composedOf(composition: AsyncComposition, known?: Setup): DynamicModule {
    const { extensions = [], without = [] } = composition;
    const asked = new Parts(without);
    // With a homeserver, keys are kept there.
    const parts = hasHomeserver(known) ? asked.but('keys') : asked;
    return {
      module: AppModule,
      imports: [
        CompositionModule.forRoot({ ...composition, without: parts.without }, known),
        DatabaseModule,
        AdmissionModule,
        MetricsModule,
        EventsModule,
        OutboxModule,
        AuditModule,
        WebhooksModule,
        NatsModule,
        // Guards run in the order of this list: a body is read only after its sender has been authenticated.
        AuthModule.verifiedBy(SessionModule, SessionTokenVerifier),
        MatrixModule,
        // Early, because a homeserver asks more often than anybody else, and routes are tried in this order.
        ...(mayBeAsked(known) ? [IntrospectionModule] : []),
        DiscoveryModule,
        ObservabilityModule,
        HealthModule,
        AppservicesModule,
        AccountsModule,
        AdminModule,
        DeviceRowsModule,
        SessionModule,
        ...(parts.has('register') ? [RegisterModule] : []),
        DevicesModule,
        OAuthModule.forRoot(mayUseOAuth(known)),
        BrowserSessionsModule,
        ...(mayUseOAuth(known) ? [accountPages()] : []),
        ...(parts.has('keys') ? [KeysModule] : []),
        ...(extensions.length === 0 ? [] : [DeletionLimitModule, ...extensions]),
        ReconcilerModule,
        // Where the setup is not known yet, the module finds out.
        ...(known === undefined || hasHomeserver(known) ? [HomeserverModule] : []),
      ],
    };
  }
}

/** Whether a homeserver may ask for tokens. */
function mayBeAsked(known: Setup | undefined): boolean {
  if (known === undefined) return true;
  return known.environment.homeserver.secret !== null;
}

/** Loaded only where there are pages, because they take memory. */
async function accountPages(): Promise<DynamicModule> {
  const { AccountPagesModule } = await import('./account-pages/account-pages.module.js');
  return { module: AccountPagesModule };
}

/** Whether clients may sign in by OAuth 2.0. */
function mayUseOAuth(known: Setup | undefined): boolean {
  return known === undefined || known.environment.oauth.isOn;
}

function hasHomeserver(known: Setup | undefined): boolean {
  return known !== undefined && (known.homeserver ?? known.environment.homeserver.url) !== null;
}
