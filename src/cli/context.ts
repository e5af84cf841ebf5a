import { hostname, userInfo } from 'node:os';
import type { Type } from '@nestjs/common';
import type { Command } from 'commander';
import type { DataSourceOptions } from 'typeorm';
import type { Requester } from '../auth/requester.js';
import type { Additions } from '../composition.js';
import { Environment } from '../config/environment.js';
import type { DatabaseLocation } from '../database/data-source.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { PRODUCT } from '../system/product.js';
import { Terminal } from './terminal.js';
import { type Variables, withEnvFile } from './variables.js';

/** Options that every command has. */
interface Globals {
  readonly envFile?: string;
  readonly json?: boolean;
  readonly yes?: boolean;
}

/** What the audit calls whoever uses the command line. It is no user ID, so no user can be taken for it. */
const ACTOR = 'command_line';

/** Whoever may read the database may do what administrators may. */
export const OPERATOR: Requester = {
  userId: ACTOR,
  device: null,
  tokenExpiresAt: null,
  tokenDigest: null,
  isGuest: false,
  isAppservice: false,
  isOAuth: false,
  isLocked: false,
  isSuspended: false,
  isAdmin: true,
};

/** The parts of the service, in this process. It listens to nobody. */
export interface Service {
  get<Part>(part: Type<Part>): Part;
}

/** What a command works with. */
export class Context {
  readonly terminal: Terminal;
  readonly variables: Variables;

  constructor(
    readonly additions: Additions,
    { envFile = null, json = false, yes = false }: { envFile?: string | null; json?: boolean; yes?: boolean },
  ) {
    this.variables = withEnvFile(envFile);
    this.terminal = new Terminal({ json, yes, colors: !this.variables.values['NO_COLOR'] });
  }

  /** @throws {EnvironmentError} */
  environment(): Environment {
    return Environment.load(this.variables.values);
  }

  /** Where the command comes from: for the audit. */
  get origin(): Origin {
    const user = userInfo().username;
    return { address: 'local', userAgent: `${PRODUCT.name}/${PRODUCT.version} (${user}@${hostname()})` };
  }

  /** A whole user ID; of a localpart, that of this server. */
  userId(text: string): string {
    return text.startsWith('@') ? text : `@${text}:${this.environment().serverName}`;
  }

  /**
   * Does something with the database. The embedded server is shared with a service that runs, and otherwise started
   * for as long as `work` takes.
   */
  async withDatabase<Result>(
    environment: Environment,
    work: (database: DatabaseLocation) => Promise<Result>,
  ): Promise<Result> {
    const { databaseUrl: url, dataDir } = environment;
    if (url !== null) return work({ url });
    const { EmbeddedPostgres } = await import('../database/embedded/embedded-postgres.js');
    const embedded = await EmbeddedPostgres.start({ dataDir });
    try {
      return await work(embedded.location);
    } finally {
      await embedded.stop();
    }
  }

  /** Options for connections that do what the command asks, and nothing else. */
  async connectionOptions(environment: Environment, database: DatabaseLocation): Promise<DataSourceOptions> {
    const { dataSourceOptions } = await import('../database/data-source.js');
    const { migrations: extensions = [] } = this.additions;
    return dataSourceOptions(database, 2, { extensions, settings: environment.databaseSettings });
  }

  /**
   * Makes the whole service, as a node that listens to nobody, and does something with it. Unless it `migrates`, the
   * schema must be up to date: a command must not change it beneath a node that runs. Unless it `changes` something, it
   * does nothing else either: a look at a restored copy must not deliver its events.
   */
  async withService<Result>(
    work: (service: Service) => Promise<Result>,
    { changes = false, migrates = false }: { changes?: boolean; migrates?: boolean } = {},
  ): Promise<Result> {
    const { values } = this.variables;
    const environment = Environment.load({
      ...values,
      ...(migrates ? {} : { MIGRATE: 'off' }),
      ...(changes ? {} : { BACKGROUND: 'off' }),
      // These belong to the node that runs.
      METRICS_PORT: undefined,
      RECONCILE: 'off',
      LOG_LEVEL: values['LOG_LEVEL'] || (changes ? 'warn' : 'error'),
    });
    const { createApplication } = await import('../application.js');
    const { readableLines, ServiceLogger } = await import('../observability/service-logger.js');
    return this.withDatabase(environment, async (database) => {
      const log = await ServiceLogger.open(environment, await readableLines(process.stderr));
      const app = await createApplication({ environment, database, ...this.additions }, log);
      const get = <Part>(part: Type<Part>): Part => app.get(part, { strict: false });
      try {
        await app.init();
        const result = await work({ get });
        // Devices whose sessions have ended follow before the command ends.
        if (changes) await get((await import('../session/ending/ending-sweeper.js')).EndingSweeper).sweep();
        return result;
      } finally {
        await app.close();
      }
    });
  }
}

/** Runs a command, and remembers the exit code that it returns. */
export class Actions {
  exitCode = 0;

  constructor(private readonly additions: Additions) {}

  /** Makes an action of commander from a command: `work` gets the context, the arguments and the options. */
  of<Given extends unknown[]>(
    work: (context: Context, ...given: Given) => Promise<number | void>,
  ): (...given: [...Given, Command]) => Promise<void> {
    return async (...given) => {
      const command = given.at(-1) as Command;
      const context = this.contextOf(command);
      this.exitCode = (await work(context, ...(given.slice(0, -1) as Given))) ?? 0;
    };
  }

  private contextOf(command: Command): Context {
    try {
      return new Context(this.additions, command.optsWithGlobals<Globals>());
    } catch (error) {
      return command.error(`error: ${(error as Error).message}`);
    }
  }
}
