import type { NestExpressApplication } from '@nestjs/platform-express';
import request from 'supertest';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll } from 'vitest';
import type { Composition } from '../../src/composition.js';
import { createApplication } from '../../src/application.js';
import { Environment } from '../../src/config/environment.js';
import { createDatabase, type TestDatabase } from './database.js';
import { MatrixClient } from './matrix-client.js';
import { SpecCheckModule, specOracle } from './spec-oracle.js';
import { TestClock } from './test-clock.js';

type Options = Partial<Composition> & {
  variables?: Record<string, string>;
};

/** The whole service on a database of its own, over real HTTP on the loopback interface. */
export class TestApp {
  static async start({ variables, ...composition }: Options = {}, database?: TestDatabase): Promise<TestApp> {
    const own = database ?? (await createDatabase());
    const clock = new TestClock();
    const environment = Environment.load({
      LOG_LEVEL: 'fatal',
      REGISTRATION: 'open',
      RATE_LIMITS: 'off',
      ...variables,
    });
    const app = await createApplication({
      environment,
      database: own.location,
      clock,
      ...composition,
      extensions: [SpecCheckModule, ...(composition.extensions ?? [])],
    });
    await app.listen(0, '127.0.0.1');
    return new TestApp(app, clock, own, database === undefined);
  }

  private constructor(
    readonly nest: NestExpressApplication,
    readonly clock: TestClock,
    readonly database: TestDatabase,
    private readonly dropsDatabase: boolean,
  ) {}

  get http() {
    return request(this.nest.getHttpServer());
  }

  get matrix(): MatrixClient {
    return new MatrixClient(this.http);
  }

  /** Rows of the database, past the service. */
  sql<Row = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.nest.get(DataSource).query<Row[]>(text, values);
  }

  /** How many rows each table holds of a user, or of one device. */
  async census(userId: string, deviceId?: string): Promise<Record<string, number>> {
    const tables = [
      'devices',
      'access_tokens',
      'refresh_tokens',
      'device_keys',
      'one_time_keys',
      'fallback_keys',
      'key_signatures',
    ];
    const counts = tables.map(async (table) => {
      const where = deviceId === undefined ? 'user_id = $1' : 'user_id = $1 AND device_id = $2';
      const values = deviceId === undefined ? [userId] : [userId, deviceId];
      const [row] = await this.sql<{ count: number }>(
        `SELECT count(*)::int FROM ${table} WHERE ${where}`,
        values,
      );
      return [table, row!.count] as const;
    });
    return Object.fromEntries(await Promise.all(counts));
  }

  async stop(): Promise<void> {
    await this.nest.close();
    if (this.dropsDatabase) await this.database.drop();
    const violations = specOracle?.violations.splice(0) ?? [];
    if (violations.length > 0)
      throw new Error(`Not what the official description says:\n${violations.join('\n')}`);
  }
}

/** What {@link TestApp.census} says when nothing is left. */
export const NOTHING = {
  devices: 0,
  access_tokens: 0,
  refresh_tokens: 0,
  device_keys: 0,
  one_time_keys: 0,
  fallback_keys: 0,
  key_signatures: 0,
};

/** One app for all tests of a file. */
export function useApp(options?: Options): () => TestApp {
  let app: TestApp | undefined;
  beforeAll(async () => {
    app = await TestApp.start(options);
  });
  afterAll(() => app?.stop());
  return () => app!;
}
