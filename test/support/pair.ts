import { afterAll, beforeAll } from 'vitest';
import type { TestOptions } from '../../src/testing/index.js';
import { freePort } from './service-process.js';
import { Synapse } from './synapse.js';
import { TestApp } from './test-app.js';

export const SECRET = 'a-secret-that-this-service-and-Synapse-share';

/** The service and a real Synapse that trusts its tokens. */
export interface Pair {
  readonly app: TestApp;
  readonly synapse: Synapse;
}

/** One pair for all tests of a file. Only where `SYNAPSE` names a Python with Synapse: in CI. */
export function usePair({ variables, ...options }: TestOptions = {}): () => Pair {
  let app: TestApp | undefined;
  let synapse: Synapse | undefined;
  beforeAll(async () => {
    const port = await freePort();
    app = await TestApp.start({
      ...options,
      variables: { HOMESERVER_URL: `http://127.0.0.1:${port}`, HOMESERVER_SECRET: SECRET, ...variables },
    });
    synapse = await Synapse.start({ endpoint: await app.nest.getUrl(), secret: SECRET, port });
  }, 120_000);
  afterAll(async () => {
    await synapse?.stop();
    await app?.stop();
  });
  return () => ({ app: app!, synapse: synapse! });
}
