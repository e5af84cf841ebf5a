import { type DynamicModule, Module } from '@nestjs/common';
import { type AccountPorts, AccountsModule } from './accounts/accounts.module.js';
import { AdminModule } from './admin/admin.module.js';
import { AppservicesModule } from './appservices/appservices.module.js';
import { AuthModule } from './auth/auth.module.js';
import { ConfigModule } from './config/config.module.js';
import type { Environment } from './config/environment.js';
import type { DatabaseLocation, MigrationClass } from './database/data-source.js';
import { DatabaseModule } from './database/database.module.js';
import { DevicesModule } from './devices/devices.module.js';
import { DiscoveryModule } from './discovery/discovery.module.js';
import { EventsModule } from './events/events.module.js';
import { KeysModule, type KeysPorts } from './keys/keys.module.js';
import { MatrixModule } from './matrix/matrix.module.js';
import { OutboxModule } from './outbox/outbox.module.js';
import { SessionTokenVerifier } from './session/session-token.verifier.js';
import { SessionModule } from './session/session.module.js';
import { SystemModule, type SystemPorts } from './system/system.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

/** What the service is put together from. */
export interface Composition extends SystemPorts, AccountPorts, KeysPorts {
  readonly environment: Environment;
  readonly database: DatabaseLocation;
  /** Modules of a team's own, which take part in sessions through events. */
  readonly extensions?: DynamicModule['imports'];
  /** TypeORM migrations of those modules; their names carry a timestamp, by which all migrations are ordered. */
  readonly migrations?: readonly MigrationClass[];
}

/** The only file that knows every module. */
@Module({})
export class AppModule {
  static forRoot({
    environment,
    database,
    extensions = [],
    migrations = [],
    ...ports
  }: Composition): DynamicModule {
    return {
      module: AppModule,
      imports: [
        SystemModule.forRoot(environment.passwordHashing, ports),
        ConfigModule.forRoot(environment),
        DatabaseModule.forRoot(database, migrations),
        EventsModule,
        OutboxModule,
        WebhooksModule.forRoot(environment),
        // Guards run in the order of this list: nobody's body is read before it is known who sends it.
        AuthModule.verifiedBy(SessionModule, SessionTokenVerifier),
        MatrixModule,
        DiscoveryModule,
        AppservicesModule.forRoot(environment),
        AccountsModule.forRoot(ports),
        AdminModule,
        SessionModule,
        // Listeners run in the order of this list. Whatever hangs on a device goes before it, in one statement,
        // and leaves nothing for the foreign keys' row-by-row cascade.
        KeysModule.forRoot(ports),
        ...extensions,
        DevicesModule,
      ],
    };
  }
}
