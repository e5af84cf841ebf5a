import { crc32 } from 'node:zlib';
import { DiscoveryService, MetadataScanner, ModulesContainer, Reflector } from '@nestjs/core';
import { describe, expect, it } from 'vitest';
import { PUBLIC, TOKEN_OPTIONAL } from '../../src/auth/auth.decorators.js';
import { asItIs, PASSWORD, someKeys, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { useApp } from '../support/test-app.js';

const app = useApp();

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS',
  'access-control-allow-headers': 'X-Requested-With, Content-Type, Authorization',
};

describe('Paths and methods', () => {
  it.each(['/_matrix/unknown', '//', `${V3}/nothing`, `${V3}/logout/`, `${V3}/LOGOUT`, '/_matrix/client/v3'])(
    'answers 404 M_UNRECOGNIZED for %s',
    async (path) => {
      const answer = await app().http.post(path).send({}).expect(404);
      expect(answer.body).toEqual({ errcode: 'M_UNRECOGNIZED', error: expect.any(String) });
    },
  );

  it.each([
    ['put', `${V3}/login`],
    ['get', `${V3}/logout`],
    ['get', `${V3}/keys/upload`],
    ['post', `${V3}/account/whoami`],
    ['post', '/_matrix/client/versions'],
    ['patch', `${V3}/devices/ABC`],
    ['put', `${V3}/logout/all`],
  ] as const)('answers 405 M_UNRECOGNIZED for %s %s', async (method, path) => {
    const answer = await app().http[method](path).send({}).expect(405);
    expect(answer.body).toEqual({ errcode: 'M_UNRECOGNIZED', error: expect.any(String) });
  });

  it('lists the allowed methods in a 405, also for HEAD', async () => {
    expect((await app().http.put(`${V3}/login`).expect(405)).headers).toMatchObject({ allow: 'GET, POST' });
    expect((await app().http.head(`${V3}/logout`).expect(405)).headers).toMatchObject({ allow: 'POST' });
    await app().http.head('/_matrix/client/versions').expect(200);
  });

  it('refuses a username with NUL or invalid UTF-8 like every other invalid username', async () => {
    for (const name of ['a%00', '%ED%A0%80']) {
      const { body } = await app().http.get(`${V3}/register/available?username=${name}`).expect(400);
      expect(body.errcode).toBe('M_INVALID_USERNAME');
    }
  });

  it('answers 400 for a path that is not valid UTF-8 or contains NUL', async () => {
    const session = await app().matrix.register();
    for (const name of ['%E0%A4%A', '%ff', 'a%00b']) {
      const answer = await app()
        .http.get(`${V3}/devices/${name}`)
        .auth(session.accessToken, { type: 'bearer' });
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({ errcode: expect.stringMatching(/^M_/), error: expect.any(String) });
    }
  });
});

describe('Forged tokens with a valid format', () => {
  /** The checksum can be forged, because it does not depend on a secret. */
  const forged = (kind: string, user: string) => {
    const token = `${kind}_${Buffer.from(user, 'latin1').toString('base64url')}_${'a'.repeat(54)}`;
    return `${token}_${crc32(token).toString(16).padStart(8, '0')}`;
  };

  it.each(['a\0b', '\xff\xfe', '', 'nobody'])('are unknown: %j', async (user) => {
    for (const call of [
      app().http.post(`${V3}/logout`).auth(forged('mxa', user), { type: 'bearer' }),
      app()
        .http.get(`${V3}/account/whoami`)
        .query({ access_token: forged('mxa', user) }),
      app()
        .http.post(`${V3}/refresh`)
        .send({ refresh_token: forged('mxr', user) }),
    ]) {
      expect((await call.expect(401)).body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
    }
    const login = { type: 'm.login.token', token: forged('mxl', user) };
    await app().http.post(`${V3}/login`).send(login).expect(403);
  });
});

describe('A bearer token', () => {
  it('may follow any number of spaces', async () => {
    const { accessToken } = await app().matrix.register();
    for (const value of [`Bearer ${accessToken}`, `Bearer  ${accessToken}`, `bearer     ${accessToken} `])
      await app().http.get(`${V3}/account/whoami`).set('Authorization', value).expect(200);
    for (const value of [
      `Bearer ${accessToken} x`,
      `Bearer${accessToken}`,
      'Bearer',
      `Basic  ${accessToken}`,
    ])
      await app().http.get(`${V3}/account/whoami`).set('Authorization', value).expect(401);
  });
});

describe('CORS', () => {
  it.each([
    ['a success', 'get', '/_matrix/client/versions', 200],
    ['401', 'post', `${V3}/logout`, 401],
    ['404', 'get', '/_matrix/unknown', 404],
    ['405', 'get', `${V3}/logout`, 405],
    ['the well-known file', 'get', '/.well-known/matrix/client', 200],
  ] as const)('is enabled for %s', async (_, method, path, status) => {
    const answer = await app().http[method](path).expect(status);
    expect(answer.headers).toMatchObject(CORS);
  });

  it.each([`${V3}/logout`, `${V3}/login`, '/_matrix/unknown', '/.well-known/matrix/client'])(
    'answers OPTIONS %s without asking for a token',
    async (path) => {
      const answer = await app().http.options(path).expect(204);
      expect(answer.headers).toMatchObject(CORS);
    },
  );
});

describe('Bodies', () => {
  const register = () => ({
    username: uniqueUsername(),
    password: PASSWORD,
    auth: { type: 'm.login.dummy' },
  });

  it.each([undefined, 'application/json', 'text/plain', 'application/x-www-form-urlencoded', 'nonsense'])(
    'are JSON whatever the Content-Type says: %s',
    async (type) => {
      const call = app().http.post(`${V3}/register`);
      if (type !== undefined) call.set('Content-Type', type);
      await asItIs(call).send(JSON.stringify(register())).expect(200);
    },
  );

  it.each([
    ['nothing', '', 'M_NOT_JSON'],
    ['broken JSON', '{"username":', 'M_NOT_JSON'],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'M_NOT_JSON'],
    ['a list', '[]', 'M_BAD_JSON'],
    ['a string', '"hello"', 'M_BAD_JSON'],
    ['null', 'null', 'M_BAD_JSON'],
    ['a wrong type', '{"username":7}', 'M_BAD_JSON'],
    ['a coercible type', '{"refresh_token":"true"}', 'M_BAD_JSON'],
    ['NUL in a string', '{"password":"a\\u0000b"}', 'M_BAD_JSON'],
    ['NUL in a key', '{"auth":{"a\\u0000b":1}}', 'M_BAD_JSON'],
    ['a lone surrogate', '{"password":"\\ud800"}', 'M_BAD_JSON'],
    ['NUL behind a key without a name', '{"":"a\\u0000b"}', 'M_BAD_JSON'],
    ['a bottomless nest', `{"auth":{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}}`, 'M_BAD_JSON'],
    ['a number that JavaScript cannot keep', '{"auth":{"n":12345678901234567890}}', 'M_BAD_JSON'],
    ['a number beyond all numbers', '{"auth":{"n":1e400}}', 'M_BAD_JSON'],
    [
      'a list of two hundred thousand, and a wrong type',
      `{"a":[${'0,'.repeat(200_000)}0],"username":7}`,
      'M_BAD_JSON',
    ],
    ['keys of the prototype', '{"constructor":{},"__proto__":{"username":1},"username":7}', 'M_BAD_JSON'],
  ])('are refused with 400: %s', async (_, body, errcode) => {
    const call = app().http.post(`${V3}/register`).set('Content-Type', 'application/json');
    const answer = await asItIs(call).send(body).expect(400);
    expect(answer.body).toEqual({ errcode, error: expect.any(String) });
  });

  it('are refused with 413 M_TOO_LARGE above one megabyte', async () => {
    const answer = await app()
      .http.post(`${V3}/register`)
      .send({ username: 'x'.repeat(1_100_000) })
      .expect(413);
    expect(answer.body).toMatchObject({ errcode: 'M_TOO_LARGE' });
  });

  it('may contain unknown keys', async () => {
    await app()
      .http.post(`${V3}/register`)
      .send({ ...register(), 'org.example.unknown': { a: [1] } })
      .expect(200);
  });

  it('may contain null for an optional key', async () => {
    await app()
      .http.post(`${V3}/register`)
      .send({ ...register(), device_id: null, inhibit_login: null })
      .expect(200);
  });

  it('are not read before the token is checked', async () => {
    const answer = await app()
      .http.post(`${V3}/keys/upload`)
      .set('Content-Type', 'application/json')
      .send('{"broken')
      .expect(401);
    expect(answer.body).toMatchObject({ errcode: 'M_MISSING_TOKEN' });
  });
});

describe('Answers', () => {
  it('to POST requests have status 200, never 201', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    await app().matrix.refresh(session.refreshToken!).expect(200);
  });

  it('have one content type, including errors and challenges', async () => {
    for (const call of [
      app().http.get('/_matrix/unknown'),
      app().http.put(`${V3}/login`),
      app().http.get(`${V3}/account/whoami`),
      app().http.post(`${V3}/register`).send({}),
      app().http.get(`${V3}/login`),
    ])
      expect((await call).headers['content-type']).toBe('application/json');
  });

  it('keep connections open for longer than proxies do', () => {
    expect(app().nest.getHttpServer().keepAliveTimeout).toBeGreaterThan(90_000);
  });

  it('are JSON, and have no ETag or header that names the framework', async () => {
    const { headers } = await app().http.get('/_matrix/client/versions').expect(200);
    expect(headers['content-type']).toBe('application/json');
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers).not.toHaveProperty('etag');
  });
});

describe('The guard', () => {
  it('requires a token everywhere except on these handlers', () => {
    const { nest } = app();
    const reflector = new Reflector();
    const controllers = new DiscoveryService(nest.get(ModulesContainer)).getControllers();
    const marked = (mark: string) =>
      controllers.flatMap(({ instance }) =>
        new MetadataScanner()
          .getAllMethodNames(Object.getPrototypeOf(instance))
          .filter((name) =>
            reflector.getAllAndOverride<boolean>(mark, [instance[name], instance.constructor]),
          )
          .map((name) => `${instance.constructor.name}.${name}`),
      );
    expect(marked(TOKEN_OPTIONAL)).toEqual([
      'AccountController.changePassword',
      'AccountController.deactivate',
    ]);
    expect(marked(PUBLIC).toSorted()).toEqual([
      'DiscoveryController.versions',
      'DiscoveryController.wellKnown',
      'FrontController.front',
      'FrontController.icon',
      'HealthController.live',
      'HealthController.ready',
      'LoginController.flows',
      'LoginController.login',
      'RefreshController.refresh',
      'RegisterController.available',
      'RegisterController.register',
      'RegistrationTokenController.validity',
      // Of a homeserver or of OAuth 2.0; unknown without either.
      'WellKnownController.getOpenIdConfiguration',
      'WellKnownController.getServerMetadata',
    ]);
  });
});
