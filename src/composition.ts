import {
  type Abstract,
  type DynamicModule,
  type InjectionToken,
  Logger,
  Module,
  type ModuleMetadata,
  type Provider,
  type Type,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { ListPasswordPolicy } from './accounts/password-policy.js';
import { PasswordPolicy } from './accounts/password-policy.port.js';
import { OwnPasswords, PasswordVerifier } from './accounts/password-verifier.port.js';
import { NoThreepids, ThreepidDirectory } from './accounts/threepid-directory.port.js';
import { Environment } from './config/environment.js';
import { type Part, Parts } from './config/parts.js';
import { type DatabaseLocation, DatabaseSetup } from './database/data-source.js';
import type { MigrationClass } from './database/own-migrations.js';
import { Homeserver, NoHomeserver } from './homeserver/homeserver.port.js';
import { SynapseHomeserver } from './homeserver/synapse/synapse.homeserver.js';
import { NoSharedRooms, SharedRooms } from './keys/device-lists/shared-rooms.port.js';
import { PageTemplates } from './account-pages/page-templates.js';
import { Clock, SystemClock } from './system/clock.js';
import { Entropy, SystemEntropy } from './system/entropy.js';
import { PasswordHasher } from './system/password-hasher.js';
import { NoTracing, Tracing } from './system/tracing.js';
import { OwnFlows, UiaFlows } from './uia/uia-flows.port.js';

/** A port, as an instance or as a class that Nest instantiates. */
export type Given<Port> = Port | Type<Port>;

/**
 * What a team may replace. Each port is an instance, or a class that Nest instantiates: its constructor may inject
 * providers such as TypeORM's `DataSource`.
 */
export interface Ports {
  /** Default: the machine's clock. */
  readonly clock?: Given<Clock>;
  /** Default: the machine's randomness. */
  readonly entropy?: Given<Entropy>;
  /** Default: the Synapse at `HOMESERVER_URL`, or none. */
  readonly homeserver?: Given<Homeserver>;
  /** Default: the pages of the service. */
  readonly pageTemplates?: Given<PageTemplates>;
  /** Default: `PASSWORD_MIN_LENGTH`, and lists of common passwords. */
  readonly passwordPolicy?: Given<PasswordPolicy>;
  /** Default: this service keeps all passwords. */
  readonly passwordVerifier?: Given<PasswordVerifier>;
  /** Default: nobody shares a room. */
  readonly sharedRooms?: Given<SharedRooms>;
  /** Default: no user has an e-mail address or telephone number. */
  readonly threepids?: Given<ThreepidDirectory>;
  /** Default: the flows of the specification's examples, such as the password alone. */
  readonly uiaFlows?: Given<UiaFlows>;
}

/** What the service runs with. */
export interface Setup extends Ports {
  readonly environment: Environment;
  readonly database: DatabaseLocation;
}

/** What a team adds to the service. */
export interface Additions {
  /** The team's own modules, which take part in sessions through events. */
  readonly extensions?: ModuleMetadata['imports'];
  /** TypeORM migrations of those modules. All migrations run in the order of the timestamps in their names. */
  readonly migrations?: readonly MigrationClass[];
  /** Parts to leave out: their routes do not exist, and Swagger does not show them. */
  readonly without?: readonly Part[];
}

/** What the service is put together from. */
export interface Composition extends Setup, Additions {}

/** The same, when the setup or a port needs other providers first. */
export interface AsyncComposition extends Additions {
  /** Modules that export the providers to inject. */
  readonly imports?: ModuleMetadata['imports'];
  /** Tokens of the providers that `useFactory` gets, in this order. */
  readonly inject?: readonly InjectionToken[];
  /** Called once, when the application starts. */
  readonly useFactory: (...injected: never[]) => Setup | Promise<Setup>;
}

const SETUP = Symbol('SETUP');

/** Provides the setup and the ports to every module. */
@Module({})
export class CompositionModule {
  /** @param known the setup, if known already: port classes are then ordinary providers, and Nest reports cycles */
  static forRoot(
    { imports = [], inject = [], useFactory, migrations = [], without = [] }: AsyncComposition,
    known?: Setup,
  ): DynamicModule {
    const port = <Port extends object>(provide: Abstract<Port>, given: (setup: Setup) => Given<Port>) =>
      portOf(provide, given, known);
    const given: Provider[] = [
      { provide: Parts, useValue: new Parts(without) },
      from(Environment, ({ environment }) => environment),
      from(DatabaseSetup, ({ database }) => new DatabaseSetup(database, migrations)),
      from(PasswordHasher, ({ environment }) => new PasswordHasher(environment.passwordHashing)),
      { provide: Tracing, inject: [Environment], useFactory: tracingOf },
      port(Clock, ({ clock }) => clock ?? new SystemClock()),
      port(Entropy, ({ entropy }) => entropy ?? new SystemEntropy()),
      port(Homeserver, ({ homeserver, environment }) => homeserver ?? homeserverOf(environment)),
      port(PageTemplates, ({ pageTemplates }) => pageTemplates ?? new PageTemplates()),
      port(
        PasswordPolicy,
        ({ passwordPolicy, environment }) =>
          passwordPolicy ?? new ListPasswordPolicy(environment.passwordMinLength),
      ),
      port(PasswordVerifier, ({ passwordVerifier }) => passwordVerifier ?? new OwnPasswords()),
      port(SharedRooms, ({ sharedRooms }) => sharedRooms ?? new NoSharedRooms()),
      port(ThreepidDirectory, ({ threepids }) => threepids ?? new NoThreepids()),
      port(UiaFlows, ({ uiaFlows }) => uiaFlows ?? new OwnFlows()),
    ];
    return {
      module: CompositionModule,
      global: true,
      imports,
      providers: [{ provide: SETUP, inject: [...inject], useFactory: useFactory as () => Setup }, ...given],
      exports: given.map((provider) => (provider as { provide: symbol }).provide),
    };
  }
}

function homeserverOf({ homeserver: { url } }: Environment): Given<Homeserver> {
  return url === null ? new NoHomeserver() : SynapseHomeserver;
}

/** Loaded only where traces go somewhere. */
async function tracingOf({ tracing }: Environment): Promise<Tracing> {
  const { url } = tracing;
  if (url === null) return new NoTracing();
  const { OpenTelemetryTracing } = await import('./observability/tracing.js');
  const logger = new Logger('Tracing');
  return new OpenTelemetryTracing({ ...tracing, url }, (words) => logger.warn(words));
}

function from<Value>(provide: Abstract<Value>, useFactory: (setup: Setup) => Value): Provider {
  return { provide, inject: [SETUP], useFactory };
}

function portOf<Port extends object>(
  provide: Abstract<Port>,
  given: (setup: Setup) => Given<Port>,
  known: Setup | undefined,
): Provider {
  const one = known && given(known);
  if (typeof one === 'function') return { provide, useClass: one };
  return {
    provide,
    inject: [SETUP, ModuleRef],
    useFactory: (setup: Setup, modules: ModuleRef) => {
      const late = given(setup);
      return typeof late === 'function' ? modules.create(late) : late;
    },
  };
}
