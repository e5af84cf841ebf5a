import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type ClientSession,
  MatrixClient,
  passwordOf,
  someKeys,
  V3,
} from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { useApp } from '../support/test-app.js';

// Runs where NGINX names the program: in CI, and nowhere without one.
const app = useApp({ variables: { TRUST_PROXY: 'loopback' } });

let directory: string;
let homeserver: Server;
let nginx: ChildProcess;
let proxy: string;

/** Stands in for a homeserver, and tells which requests reached it. */
function startHomeserver(): Server {
  const server = createServer((incoming: IncomingMessage, response) => {
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ homeserver: incoming.url }));
  });
  return server.listen(0, '127.0.0.1');
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The example of the documentation, with other ports and without TLS. */
async function configuration(port: number): Promise<string> {
  const example = await readFile(new URL('../../docs/proxy/nginx.conf', import.meta.url), 'utf8');
  const adapted = example
    .replace('127.0.0.1:8008', `127.0.0.1:${portOf(app().nest.getHttpServer())}`)
    .replace('127.0.0.1:8009', `127.0.0.1:${portOf(homeserver)}`)
    .replace('listen 443 ssl', `listen 127.0.0.1:${port}`)
    .replace(/^ *ssl_.*\n/gm, '');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(directory, name)};`,
  );
  return `
    daemon off;
    worker_processes 1;
    pid ${join(directory, 'nginx.pid')};
    error_log ${join(directory, 'error.log')};
    events {}
    http { access_log off; ${temporary.join('\n')} ${adapted} }`;
}

beforeAll(async () => {
  directory = await temporaryDirectory();
  homeserver = startHomeserver();
  await once(homeserver, 'listening');
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  await writeFile(file, await configuration(port));
  nginx = spawn(process.env['NGINX']!, ['-p', directory, '-c', file, '-e', join(directory, 'error.log')]);
  proxy = `http://127.0.0.1:${port}`;
  await vi.waitFor(() => fetch(proxy), { timeout: 5_000 });
});

afterAll(async () => {
  nginx?.kill('SIGTERM');
  if (nginx?.exitCode === null) await once(nginx, 'exit');
  homeserver?.close();
  await rm(directory, { recursive: true, force: true });
});

const through = () => request(proxy);
const matrix = () => new MatrixClient(through());

describe('The nginx of the documentation', () => {
  it('sends every endpoint that the service has to the service, and its like to the homeserver', async () => {
    const { body } = await app().http.get('/docs/openapi.json').expect(200);
    const all = Object.keys(body.paths as object).map((path) =>
      (/^\/(?:_matrix|_session|\.well)/.test(path) ? path : `${V3}${path}`).replace(/\{\w+\}/g, 'X%2FY'),
    );
    const paths = all.filter((path) => !path.startsWith('/_session/'));
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
    // What a homeserver has more to say about.
    expect(withHomeserver.toSorted()).toEqual([
      '/.well-known/matrix/client',
      '/_matrix/client/v3/capabilities',
      '/_matrix/client/v3/keys/changes',
      '/_matrix/client/versions',
    ]);
    // What is the operator's is not for the world outside.
    for (const path of all.filter((one) => one.startsWith('/_session/')))
      expect([path, await reached(path)]).toEqual([path, 'homeserver']);
    expect(all.length).toBeGreaterThan(paths.length);
    for (const path of ['/login/sso/redirect', '/logoutx', '/account/3pid', '/sync', '/devices/a/b'])
      expect([path, await reached(`${V3}${path}`)]).toEqual([path, 'homeserver']);
  });

  it.each(['with/slash', 'with+plus', 'with%percent', 'with:colon', 'äöü', 'a//b', 'line\nbreak', 'x?y#z'])(
    'passes the device ID %j on as it is',
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

  it('tells the service where the client is, which nobody can make up', async () => {
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
