import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { specOracle } from '../support/spec-oracle.js';
import { V3 } from '../../src/testing/matrix-client.js';
import { TestApp, useApp } from '../support/test-app.js';

const app = useApp();
const document = async () => (await app().http.get('/docs/openapi.json').expect(200)).body;

/** Where the official description is; CI sets it. */
const official = process.env['MATRIX_SPEC_OPENAPI'];

const SERVER = {
  url: '{protocol}://{hostname}{basePath}',
  variables: {
    protocol: { enum: ['http', 'https'], default: 'https' },
    hostname: { default: 'localhost:8008' },
    basePath: { default: '/_matrix/client/v3' },
  },
};

describe('The official description', () => {
  it('is used to check answers if it is available next to the checkout', async () => {
    await app()
      .matrix.logout(await app().matrix.register())
      .expect(200);
    await app().http.get('/_matrix/client/versions').expect(200);
    expect(specOracle?.checked ?? 3).toBeGreaterThanOrEqual(3);
    specOracle?.check('POST', '/_matrix/client/v3/login', 403, { error: 'no code' });
    expect(specOracle?.violations.splice(0) ?? ['not here']).toHaveLength(1);
  });
});

describe('The API description', () => {
  it('is not served when API_DOCS is off', async () => {
    const closed = await TestApp.start({ database: app().database, variables: { API_DOCS: 'off' } });
    try {
      for (const path of [
        '/docs',
        '/docs/',
        '/docs/openapi.json',
        '/docs/openapi.yaml',
        '/docs/swagger-ui.css',
      ])
        expect((await closed.http.get(path).expect(404)).body).toMatchObject({ errcode: 'M_UNRECOGNIZED' });
    } finally {
      await closed.stop();
    }
  });

  it('is served as a page at /docs', async () => {
    const { text } = await app().http.get('/docs').expect(200).expect('Content-Type', /html/);
    expect(text).toContain('swagger-ui');
    await app().http.get('/docs/swagger-ui-bundle.js').expect(200);
  });

  it('is JSON at /docs/openapi.json', async () => {
    await app().http.get('/docs/openapi.json').expect(200).expect('Content-Type', 'application/json');
  });

  it('lists the server that serves it first, and the server of the official description second', async () => {
    const { servers, paths } = await document();
    expect(servers[0].url).toBe('/_matrix/client/v3');
    expect(servers[1]).toEqual(SERVER);
    for (const [path, item] of Object.entries<{ servers?: { url: string }[] }>(paths)) {
      const [first] = item.servers ?? servers;
      // The URL is relative to the page, so requests go to the page's own host and scheme.
      expect([path, first.url]).toEqual([
        path,
        path.startsWith('/_') || item.servers ? '/' : '/_matrix/client/v3',
      ]);
    }
  });

  it('has the version of the package, and lists session management first', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    const { info, tags } = await document();
    expect(info.version).toBe(version);
    expect(tags[0].name).toBe('Session management');
  });

  it('has examples that work when they are sent', async () => {
    const { paths } = await document();
    const bodyOf = (path: string, method = 'post') =>
      paths[path][method].requestBody.content['application/json'].examples.example.value;
    await app().http.post(`${V3}/register`).send(bodyOf('/register')).expect(200);
    const { body: login } = await app().http.post(`${V3}/login`).send(bodyOf('/login')).expect(200);
    const session = {
      userId: login.user_id,
      deviceId: login.device_id,
      accessToken: login.access_token,
    };
    const send = (method: 'post' | 'put' | 'delete', path: string, body: object) =>
      app().matrix.call(session, method, path).send(body);
    expect(session.deviceId).toBe(paths['/devices/{deviceId}'].get.parameters[0].schema.example);
    for (const path of ['/keys/upload', '/keys/device_signing/upload', '/keys/query', '/keys/claim'])
      await send('post', path, bodyOf(path)).expect(200);
    const signatures = '/keys/signatures/upload';
    await send('post', signatures, bodyOf(signatures)).expect(200, { failures: {} });
    await send('put', `/devices/${session.deviceId}`, bodyOf('/devices/{deviceId}', 'put')).expect(200);
    const getToken = '/_matrix/client/v1/login/get_token';
    await app()
      .http.post(getToken)
      .auth(session.accessToken, { type: 'bearer' })
      .send(bodyOf(getToken))
      .expect(200);
    await send('post', '/account/password', bodyOf('/account/password')).expect(200);
    const again = { ...bodyOf('/login'), password: bodyOf('/account/password').new_password };
    await send('post', '/delete_devices', { ...bodyOf('/delete_devices'), auth: again }).expect(200);
    expect(bodyOf('/register')).not.toHaveProperty('guest_access_token');
    const texts = JSON.stringify(
      Object.values<
        Record<string, { requestBody?: { content: { 'application/json': { examples?: object } } } }>
      >(paths).flatMap((item) =>
        Object.values(item).map((one) => one.requestBody?.content['application/json'].examples),
      ),
    );
    expect(texts).not.toContain('"string"');
  });

  it('has an example of each body and of each required parameter', async () => {
    const { paths } = await document();
    type Parameter = {
      name: string;
      in: string;
      required?: boolean;
      example?: unknown;
      schema?: { example?: unknown };
    };
    type Operation = {
      parameters?: Parameter[];
      requestBody?: { content: Record<string, { examples?: object }> };
    };
    const missing = Object.entries<Record<string, Operation>>(paths).flatMap(([path, item]) =>
      Object.entries(item)
        .filter(([method]) => ['get', 'post', 'put', 'delete'].includes(method))
        .flatMap(([method, { parameters = [], requestBody }]) => [
          ...parameters
            .filter(({ required, example, schema }) => required && !(example ?? schema?.example))
            .map(({ name }) => `${method} ${path} ${name}`),
          ...Object.values(requestBody?.content ?? {})
            .filter(({ examples }) => examples === undefined)
            .map(() => `${method} ${path} body`),
        ]),
    );
    expect(missing).toEqual([]);
  });

  it.each([
    ['/logout', 'logout'],
    ['/logout/all', 'logout_all'],
  ])('describes %s as the official description does', async (path, operationId) => {
    const { paths, components } = await document();
    const { post } = paths[path];
    expect(post).toMatchObject({
      operationId,
      tags: ['Session management'],
      security: expect.arrayContaining([{ accessTokenQuery: [] }, { accessTokenBearer: [] }]),
      responses: { 200: { content: { 'application/json': { schema: { type: 'object', properties: {} } } } } },
    });
    expect(post.requestBody).toBeUndefined();
    expect(components.securitySchemes).toMatchObject({
      accessTokenQuery: { type: 'apiKey', in: 'query', name: 'access_token' },
      accessTokenBearer: { type: 'http', scheme: 'bearer' },
    });
    if (official !== undefined) {
      const theirs = parse(await readFile(join(official, 'logout.yaml'), 'utf8'));
      const { summary, operationId: id, tags, security, responses } = theirs.paths[path].post;
      expect(theirs.servers).toEqual([SERVER]);
      expect(post).toMatchObject({ summary, operationId: id, tags });
      expect(post.security.toSorted(byKey)).toEqual(security.toSorted(byKey));
      expect(post.responses[200]).toEqual(responses['200']);
    }
  });

  it('describes the errors of a logout', async () => {
    const { responses } = (await document()).paths['/logout'].post;
    expect(responses[401].content['application/json'].schema).toMatchObject({
      required: ['errcode', 'error'],
      properties: {
        errcode: { enum: ['M_MISSING_TOKEN', 'M_UNKNOWN_TOKEN'] },
        soft_logout: { type: 'boolean' },
      },
    });
    expect(responses[500].content['application/json'].schema.properties.errcode.enum).toEqual(['M_UNKNOWN']);
  });

  it('lists each endpoint once, with a unique operation ID, and no aliases', async () => {
    const { paths } = await document();
    expect(Object.keys(paths).filter((path) => path.includes('r0'))).toEqual([]);
    expect(paths['/_matrix/client/versions'].servers[1].url).toBe('{protocol}://{hostname}');
    const operations = Object.values<Record<string, { operationId?: string }>>(paths).flatMap((item) =>
      ['get', 'post', 'put', 'delete'].flatMap((method) => (item[method] ? [item[method].operationId] : [])),
    );
    expect(new Set(operations).size).toBe(operations.length);
    expect(operations).toContain('getWellknown');
  });
});

function byKey(one: object, other: object): number {
  return Object.keys(one)[0]!.localeCompare(Object.keys(other)[0]!);
}
