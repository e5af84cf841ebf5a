import type { AddressInfo } from 'node:net';
import request from 'supertest';
import { afterAll, beforeAll } from 'vitest';
import { MatrixClient } from '../../src/testing/matrix-client.js';
import type { TestOptions } from '../../src/testing/index.js';
import { freePort } from './service-process.js';
import { MoodyRelay } from './moody-relay.js';
import { Nginx } from './nginx.js';
import { Synapse } from './synapse.js';
import { TestApp } from './test-app.js';

export const SECRET = 'a-secret-that-this-service-and-Synapse-share';

/** The service and a real Synapse that trusts its tokens, behind one host. */
export interface Pair {
  readonly app: TestApp;
  readonly synapse: Synapse;
  readonly nginx: Nginx;
  /** What the service reaches Synapse through. */
  readonly relay: MoodyRelay;
  /** A client of the one host. */
  readonly matrix: MatrixClient;
}

/** One pair for all tests of a file. Only where `SYNAPSE` and `NGINX` name the programs: in CI. */
export function usePair({
  variables,
  synapse: more,
  ...options
}: TestOptions & { readonly synapse?: object } = {}): () => Pair {
  let app: TestApp | undefined;
  let synapse: Synapse | undefined;
  let nginx: Nginx | undefined;
  let relay: MoodyRelay | undefined;
  beforeAll(async () => {
    const port = await freePort();
    relay = await MoodyRelay.start(port);
    app = await TestApp.start({
      ...options,
      variables: {
        HOMESERVER_URL: relay.url,
        HOMESERVER_SECRET: SECRET,
        TRUST_PROXY: 'loopback',
        ...variables,
      },
    });
    synapse = await Synapse.start({
      endpoint: await app.nest.getUrl(),
      secret: SECRET,
      port,
      more: more ?? {},
    });
    const node = (app.nest.getHttpServer().address() as AddressInfo).port;
    nginx = await Nginx.start([node], port, 'deploy/synapse/nginx.conf');
  }, 120_000);
  afterAll(async () => {
    await nginx?.stop();
    await synapse?.stop();
    relay?.stop();
    await app?.stop();
  });
  return () => ({
    app: app!,
    synapse: synapse!,
    nginx: nginx!,
    relay: relay!,
    matrix: new MatrixClient(request(nginx!.url)),
  });
}
