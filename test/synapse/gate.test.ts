import { request as send } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { Caddy } from '../support/caddy.js';
import { usePair } from '../support/pair.js';

const pair = usePair();
let caddy: Caddy | undefined;
beforeAll(async () => {
  const { app, synapse } = pair();
  if (process.env['CADDY']) caddy = await Caddy.start(portOf(await app.nest.getUrl()), portOf(synapse.url));
}, 120_000);
afterAll(() => caddy?.stop());

const portOf = (url: string) => Number(new URL(url).port);

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** Sends the path exactly as it is; other clients would tidy it up. */
function get(url: string, path: string, token?: string, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    const request = send({ hostname, port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () =>
        resolve({ status: response.statusCode!, body: text.startsWith('{') ? JSON.parse(text) : {} }),
      );
    });
    request.on('error', reject).end();
  });
}

const PROXIES = ['nginx', ...(process.env['CADDY'] ? ['caddy'] : [])] as const;
const urlOf = (proxy: string) => (proxy === 'nginx' ? pair().nginx.url : caddy!.url);

/** A session that Synapse remembers, and that this service has replaced by another one on the same device. */
async function dead(): Promise<ClientSession> {
  const own = await pair().matrix.register();
  await pair().synapse.as(own, 'get', '/_matrix/client/v3/sync?timeout=0').expect(200);
  await pair().matrix.login(own.userId, { device_id: own.deviceId });
  await pair().synapse.as(own, 'get', '/_matrix/client/v3/sync?timeout=0').expect(200);
  return own;
}

describe.each(PROXIES)('The gate of %s', (proxy) => {
  it('lets a live session pass, with its token in the header or in the query', async () => {
    const { accessToken } = await pair().matrix.register();
    const sync = '/_matrix/client/v3/sync?timeout=0';
    expect((await get(urlOf(proxy), sync, accessToken)).status).toBe(200);
    expect((await get(urlOf(proxy), `${sync}&access_token=${accessToken}`)).status).toBe(200);
    expect((await get(urlOf(proxy), '/_matrix/client/versions')).status).toBe(200);
    expect((await get(urlOf(proxy), '/_matrix/client/v3/login')).status).toBe(200);
    expect((await get(urlOf(proxy), '/_matrix/key/v2/server')).status).toBe(200);
  });

  it.each([
    ['in the header', (token: string) => ['/_matrix/client/v3/sync?timeout=0', token]],
    ['in the query', (token: string) => [`/_matrix/client/v3/sync?timeout=0&access_token=${token}`]],
    ['in the query, spelt otherwise', (token: string) => [`/_matrix/client/v3/sync?access%5Ftoken=${token}`]],
    [
      'in the query, behind an empty one',
      (token: string) => [`/_matrix/client/v3/sync?access_token=&access_token=${token}`],
    ],
    [
      'on a path that looks like another one when it is tidied up',
      (token: string) => [
        `/_matrix/client/v3/rooms/x/joined_members%2F..%2F..%2F..%2F..%2F..%2F..%2Fx`,
        token,
      ],
    ],
    ['behind a semicolon', (token: string) => [`/_matrix/client/v3/sync?timeout=0;access_token=${token}`]],
    ['behind a fragment', (token: string) => [`/_matrix/client/v3/sync?x#&access_token=${token}`]],
    ['under the old prefix', (token: string) => ['/_matrix/client/r0/sync?timeout=0', token]],
    ['on a path that begins otherwise', (token: string) => ['/%5Fmatrix/client/v3/sync?timeout=0', token]],
    ['on a path that begins twice', (token: string) => ['//_matrix/client/v3/sync?timeout=0', token]],
  ])('lets no replaced token pass %s', async (_, toRequest) => {
    const { accessToken } = await dead();
    const [path, token] = toRequest(accessToken) as [string, string | undefined];
    const { status, body } = await get(urlOf(proxy), path, token);
    expect([400, 401, 404]).toContain(status);
    expect(body['errcode']).toMatch(/^M_(UNKNOWN_TOKEN|MISSING_TOKEN|UNRECOGNIZED|INVALID_PARAM)$/);
  });

  it('lets no replaced token pass in a form', async () => {
    const { accessToken } = await dead();
    const response = await fetch(`${urlOf(proxy)}/_matrix/client/v3/createRoom`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body: JSON.stringify({ a: `&access_token=${accessToken}&` }),
    });
    expect(await response.json()).toMatchObject({ errcode: 'M_MISSING_TOKEN' });
  });

  it('says of a replaced token what the service says', async () => {
    const { accessToken } = await dead();
    expect(await get(urlOf(proxy), '/_matrix/client/v3/sync', accessToken)).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true },
    });
  });

  it('hides from the world what the two servers ask each other, however it is spelt', async () => {
    for (const path of [
      '/oauth2/introspect',
      '/_synapse/mas/query_user?localpart=alice',
      '/_synapse/admin/v1/server_version',
      '/_synapse/admin/v1/users/..%2f..%2f..%2f..%2fx',
      '/%5Fsynapse/admin/v1/server_version',
      '/_synapse/%61dmin/v1/server_version',
      '/_synapse/%61dmin/v1/x/..%2f..%2f..%2f..%2fx',
      '//_synapse/admin/v1/server_version',
      '/_session/v1/gate',
      '/_session/v1/admin/reconcile',
      '/health/ready',
    ])
      expect([path, (await get(urlOf(proxy), path)).status]).toEqual([path, 404]);
    for (const path of ['/_synapse/mas/query_user?localpart=alice', '/_synapse/admin/v1/server_version'])
      expect([400, 404]).toContain((await get(urlOf(proxy), `${urlOf(proxy)}${path}`)).status);
  });
});
