import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type ClientSession,
  MatrixClient,
  passwordOf,
  someKeys,
  V3,
} from '../../src/testing/matrix-client.js';
import { Nginx } from '../support/nginx.js';
import { useApp } from '../support/test-app.js';

// Runs only if NGINX names the program, as in CI.
const app = useApp({ variables: { TRUST_PROXY: 'loopback' } });

let homeserver: Server;
let nginx: Nginx;
let proxy: string;

/** A stand-in for a homeserver that reports which requests reached it. */
function startHomeserver(): Server {
  const server = createServer((incoming: IncomingMessage, response) => {
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ homeserver: incoming.url }));
  });
  return server.listen(0, '127.0.0.1');
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

beforeAll(async () => {
  homeserver = startHomeserver();
  await once(homeserver, 'listening');
  nginx = await Nginx.start([portOf(app().nest.getHttpServer())], portOf(homeserver));
  proxy = nginx.url;
});

afterAll(async () => {
  await nginx?.stop();
  homeserver?.close();
});

const through = () => request(proxy);
const matrix = () => new MatrixClient(through());

describe('The nginx configuration of the documentation', () => {
  it('routes every endpoint of the service to the service, and similar ones to the homeserver', async () => {
    const { body } = await app().http.get('/docs/openapi.json').expect(200);
    const all = Object.keys(body.paths as object).map((path) =>
      (/^\/(?:_matrix|_session|\.well|health)/.test(path) ? path : `${V3}${path}`).replace(
        /\{\w+\}/g,
        'X%2FY',
      ),
    );
    const isOperators = (path: string) => /^\/(?:_session|health)\//.test(path);
    const paths = all.filter((path) => !isOperators(path));
    const reached = async (path: string) =>
      'homeserver' in
      (
        await through()
          .options(path)
          .ok(() => true)
      ).body
        ? 'homeserver'
        : 'service';
    const withHomeserver: string[] = [];
    for (const path of paths) if ((await reached(path)) === 'homeserver') withHomeserver.push(path);
    // Endpoints about which a homeserver knows more.
    expect(withHomeserver.toSorted()).toEqual([
      '/.well-known/matrix/client',
      '/_matrix/client/v3/capabilities',
      '/_matrix/client/v3/keys/changes',
      '/_matrix/client/versions',
    ]);
    // Endpoints for operators are not reachable from outside.
    for (const path of all.filter(isOperators))
      expect([path, await reached(path)]).toEqual([path, 'homeserver']);
    expect(all.length).toBeGreaterThan(paths.length);
    for (const path of ['/login/sso/redirect', '/logoutx', '/account/3pid', '/sync', '/devices/a/b'])
      expect([path, await reached(`${V3}${path}`)]).toEqual([path, 'homeserver']);
  });

  it.each(['with/slash', 'with+plus', 'with%percent', 'with:colon', 'äöü', 'a//b', 'line\nbreak', 'x?y#z'])(
    'passes the device ID %j on unchanged',
    async (device_id) => {
      const session = await matrix().register({ device_id });
      const path = `/devices/${encodeURIComponent(device_id)}`;
      await matrix().call(session, 'put', path).send({ display_name: 'Named' }).expect(200, {});
      const { body } = await matrix().call(session, 'get', path).expect(200);
      expect(body).toMatchObject({ device_id, display_name: 'Named' });
      await matrix()
        .call(session, 'delete', path)
        .send({ auth: passwordOf(session) })
        .expect(200, {});
      expect(await matrix().whoami(session)).toMatchObject({ status: 401 });
    },
  );

  it('passes the address of the client, which nobody can forge', async () => {
    const session: ClientSession = await matrix().register();
    await matrix().call(session, 'get', '/account/whoami').set('X-Forwarded-For', '192.0.2.66').expect(200);
    const { body } = await matrix().call(session, 'get', '/devices').expect(200);
    expect(body.devices).toMatchObject([{ last_seen_ip: '127.0.0.1' }]);
  });

  it('carries a whole session, from login to logout', async () => {
    const session = await matrix().register({ refresh_token: true });
    await matrix().uploadKeys(session, someKeys(session)).expect(200);
    const { body } = await matrix().refresh(session.refreshToken!).expect(200);
    await matrix()
      .logout({ ...session, accessToken: body.access_token })
      .expect(200, {});
    const answer = await through().get(`${V3}/sync`).expect(200);
    expect(answer.body).toEqual({ homeserver: `${V3}/sync` });
  });
});
