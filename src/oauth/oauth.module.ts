import { type DynamicModule, Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthorizationService } from './authorization/authorization.service.js';
import { GrantsService } from './authorization/grants.service.js';
import { GrantsStore } from './authorization/grants.store.js';
import { OAuthGrantEntity } from './authorization/oauth-grant.entity.js';
import { ClientsController } from './clients/clients.controller.js';
import { ClientsService } from './clients/clients.service.js';
import { ClientsStore } from './clients/clients.store.js';
import { OAuthClientEntity } from './clients/oauth-client.entity.js';
import { DeviceAuthorizationController } from './device-grant/device-authorization.controller.js';
import { OAuthDeviceGrantEntity } from './device-grant/device-grant.entity.js';
import { DeviceGrantsService } from './device-grant/device-grants.service.js';
import { DeviceGrantsStore } from './device-grant/device-grants.store.js';
import { MetadataController } from './metadata/metadata.controller.js';
import { ProviderMetadata } from './metadata/provider-metadata.service.js';
import { WellKnownController } from './metadata/well-known.controller.js';
import { OAuthAccountsListener } from './oauth-accounts.listener.js';
import { OAuthHousekeeping } from './oauth.housekeeping.js';
import { OAuthMetrics } from './oauth-metrics.js';
import { OAuthUrls } from './oauth-urls.js';
import { CodeExchange } from './token/code-exchange.js';
import { RevocationController } from './token/revocation.controller.js';
import { TokenController } from './token/token.controller.js';
import { TokenService } from './token/token.service.js';

/** The OAuth 2.0 API of Matrix: another way to begin, refresh and end the same sessions. */
// Global, because the pages decide on what clients ask for.
@Global()
@Module({})
export class OAuthModule {
  /** @param mayBeOn whether clients may come this way, or that is not known yet */
  static forRoot(mayBeOn: boolean): DynamicModule {
    return {
      module: OAuthModule,
      imports: [TypeOrmModule.forFeature([OAuthClientEntity, OAuthGrantEntity, OAuthDeviceGrantEntity])],
      controllers: [
        WellKnownController,
        ...(mayBeOn
          ? [
              MetadataController,
              ClientsController,
              TokenController,
              RevocationController,
              DeviceAuthorizationController,
            ]
          : []),
      ],
      providers: [
        AuthorizationService,
        ClientsService,
        ClientsStore,
        CodeExchange,
        DeviceGrantsService,
        DeviceGrantsStore,
        GrantsService,
        GrantsStore,
        OAuthAccountsListener,
        OAuthHousekeeping,
        OAuthMetrics,
        OAuthUrls,
        ProviderMetadata,
        TokenService,
      ],
      exports: [AuthorizationService, ClientsService, DeviceGrantsService, OAuthUrls, ProviderMetadata],
    };
  }
}
