import type { NestExpressApplication } from '@nestjs/platform-express';
import request from 'supertest';
import { DataSource } from 'typeorm';
import { AccountsService } from '../accounts/accounts.service.js';
import { PasswordsService } from '../accounts/passwords.service.js';
import { createApplication } from '../application.js';
import type { Composition } from '../composition.js';
import { Environment } from '../config/environment.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { isInTransaction } from '../events/in-transaction.decorator.js';
import { OutboxWorker } from '../outbox/outbox.worker.js';
import { toUserId } from '../matrix/user-id.js';
import { type ClientSession, MatrixClient, PASSWORD } from './matrix-client.js';
import { TestClock } from './test-clock.js';
import { type TestDatabase, TestPostgres } from './test-postgres.js';

/** Options of {@link TestApp.start}. */
export interface TestOptions extends Omit<Composition, 'clock' | 'database' | 'environment'> {
  /**
   * Makes the application, if the service is part of your own. The composition it gets contains the clock of the
   * test. Default: {@link createApplication}.
   *
   * @example
   * ```ts
   * const createApp = ({ environment, ...rest }: Composition) =>
   *   NestFactory.create<NestExpressApplication>(
   *     RootModule.with({ environment, ...rest }),
   *     matrixExpress(environment.trustProxy),
   *   );
   * const app = await TestApp.start({ createApp });
   * ```
   */
  readonly createApp?: (composition: Composition) => Promise<NestExpressApplication>;
  /** Default: a new database, dropped at the end. A given one is not dropped, so that several apps can share it. */
  readonly database?: TestDatabase;
  /**
   * Environment variables. Default: registration is open, there are no rate limits, password hashes are cheap, and
   * the reason of every 500 is logged, but nothing else (`LOG_LEVEL` is `error`).
   */
  readonly variables?: Readonly<Record<string, string>>;
}

/** A method that {@link TestApp.fail} has made fail. */
export interface Failure {
  /** How often the method has been called since. */
  readonly calls: number;
  /** Makes the method work again. */
  restore(): void;
}

/**
 * The whole service with your modules, on a throw-away database, over real HTTP on the loopback interface.
 *
 * @example
 * ```ts
 * const app = await TestApp.start({ extensions: [PushersModule], migrations: [CreatePushers1764100000000] });
 * const session = await app.matrix.register();
 * await app.matrix.logout(session).expect(200);
 * await app.drain();
 * await app.stop();
 * ```
 */
export class TestApp {
  /** Starts on the server whose address {@link TestPostgres.start} left in the environment, or else on a new one. */
  static async start({
    variables,
    database,
    createApp = createApplication,
    ...composition
  }: TestOptions = {}): Promise<TestApp> {
    const undo: (() => Promise<void>)[] = [];
    try {
      const own = database ?? (await throwAway(undo));
      const clock = new TestClock();
      const environment = Environment.load({
        LOG_LEVEL: 'error',
        REGISTRATION: 'open',
        RATE_LIMITS: 'off',
        // The cheapest hashes that are allowed: passwords of tests need no protection.
        PASSWORD_HASH_MEMORY_KIB: '8192',
        PASSWORD_HASH_PASSES: '1',
        ...variables,
      });
      const nest = await createApp({ ...composition, environment, database: own.location, clock });
      undo.unshift(() => nest.close());
      await nest.listen(0, '127.0.0.1');
      return new TestApp(nest, clock, own, undo);
    } catch (error) {
      for (const step of undo) await step();
      throw error;
    }
  }

  private constructor(
    /** The Nest application: get your providers with `app.nest.get(NotesService)`. */
    readonly nest: NestExpressApplication,
    /** The clock of the service. Moving it does not affect Node's timers. */
    readonly clock: TestClock,
    readonly database: TestDatabase,
    private readonly undo: readonly (() => Promise<void>)[],
  ) {}

  /** supertest. */
  get http(): ReturnType<typeof request> {
    return request(this.nest.getHttpServer());
  }

  /** A small Matrix client. */
  get matrix(): MatrixClient {
    return new MatrixClient(this.http);
  }

  /** Runs SQL directly on the database and returns its rows. */
  sql<Row = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.nest.get(DataSource).query<Row[]>(text, values);
  }

  /**
   * Creates a user with {@link PASSWORD} without registration, such as one that `SERVER_ADMINS` names.
   * @returns a session of the user
   */
  async createUser(username: string): Promise<ClientSession> {
    const userId = toUserId(username, this.nest.get(Environment).serverName);
    const passwordHash = await this.nest.get(PasswordsService).hash(PASSWORD);
    await this.nest
      .get(UnitOfWork)
      .run((tx) => this.nest.get(AccountsService).create(tx, { userId, kind: 'user', passwordHash }, null));
    return this.matrix.login(userId);
  }

  /** Resolves when all due events have been sent to their subscribers. Those that failed are due again later. */
  drain(): Promise<void> {
    return this.nest.get(OutboxWorker).drain();
  }

  /** Makes a handler, or any other method of a provider, reject with `error`: always, or the next `times` calls. */
  fail<Provider extends object>(
    provider: abstract new (...args: never[]) => Provider,
    method: keyof Provider & string,
    { error = new Error('Made to fail'), times = Number.POSITIVE_INFINITY } = {},
  ): Failure {
    const instance = this.nest.get<Provider, Provider>(provider, { strict: false });
    const works = instance[method] as (...args: unknown[]) => unknown;
    if (typeof works !== 'function') throw new TypeError(`${provider.name} has no method ${method}`);
    const failure = { calls: 0, restore: () => Reflect.deleteProperty(instance, method) };
    const fails = (...args: unknown[]) => {
      failure.calls += 1;
      if (failure.calls > times) return works.apply(instance, args);
      if (!isInTransaction(works)) return Promise.reject(error);
      return Promise.resolve({ listener: `${provider.name}.${method}`, failure: error });
    };
    Object.assign(instance, { [method]: fails });
    return failure;
  }

  /** Stops the service, and drops the database unless it was given. */
  async stop(): Promise<void> {
    for (const step of this.undo) await step();
  }
}

async function throwAway(undo: (() => Promise<void>)[]): Promise<TestDatabase> {
  const found = TestPostgres.find();
  const postgres = found ?? (await TestPostgres.start());
  if (found === null) undo.unshift(() => postgres.stop());
  const database = await postgres.createDatabase();
  undo.unshift(() => database.drop());
  return database;
}
