import { afterAll, beforeAll } from 'vitest';
import { TestApp as TestKitApp, type TestOptions } from '../../src/testing/test-app.js';
import { createApplication } from '../../src/application.js';
import { secretWatch } from './secret-watch.js';
import { SpecCheckModule } from './spec-oracle.js';

/**
 * The app of the testing kit. If the official API description is available, every answer is checked against it. Its log
 * is kept, whole, and must not hold any secret of the requests and answers.
 */
export const TestApp = {
  start: ({ extensions = [], variables, ...options }: TestOptions = {}): Promise<TestKitApp> =>
    TestKitApp.start({
      createApp: async (composition) => createApplication(composition, await secretWatch.log.open()),
      ...options,
      // Most 500s here are intended.
      variables: { LOG_LEVEL: 'fatal', ...variables },
      extensions: [SpecCheckModule, ...extensions],
    }),
};
export type TestApp = TestKitApp;

/** Counts the rows of a user, or of one device, in each table. */
export async function census(
  app: TestApp,
  userId: string,
  deviceId?: string,
): Promise<Record<string, number>> {
  const counts = Object.keys(NOTHING).map(async (table) => {
    const where = deviceId === undefined ? 'user_id = $1' : 'user_id = $1 AND device_id = $2';
    const values = deviceId === undefined ? [userId] : [userId, deviceId];
    const [row] = await app.sql<{ count: number }>(
      `SELECT count(*)::int FROM ${table} WHERE ${where}`,
      values,
    );
    return [table, row!.count] as const;
  });
  return Object.fromEntries(await Promise.all(counts));
}

/** The result of {@link census} if there are no rows. */
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
export function useApp(options?: TestOptions): () => TestApp {
  let app: TestApp | undefined;
  beforeAll(async () => {
    app = await TestApp.start(options);
  });
  afterAll(() => app?.stop());
  return () => app!;
}
