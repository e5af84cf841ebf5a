import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Environment } from '../../src/config/environment.js';
import { AppserviceRegistry } from '../../src/appservices/appservice-registry.js';
import { PASSWORD, someKeys, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { SigningUser } from '../support/signing.js';
import { census, NOTHING, TestApp } from '../support/test-app.js';

const REGISTRATION = `
id: irc
url: http://localhost:9999
as_token: the-as-token
hs_token: the-hs-token
sender_localpart: irc_bot
namespaces:
  users:
    - exclusive: true
      regex: '@irc_.*:localhost'
    - exclusive: false
      regex: '@shared_.*:localhost'
    - exclusive: false
      regex: '@(?!boss)[^:]*boss:localhost'
    - exclusive: false
      regex: '@B[^:]*:localhost'
  aliases: []
rate_limited: false
`;

let directory: string;
let app: TestApp;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mss-appservices-'));
  app = await TestApp.start({ variables: { APPSERVICE_FILES: await file('irc.yaml', REGISTRATION) } });
});
afterAll(async () => {
  await app?.stop();
  await rm(directory, { recursive: true, force: true });
});

async function file(name: string, content: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

const TYPE = 'm.login.application_service';
const asService = (method: 'get' | 'post' | 'put' | 'delete', path: string, query: object = {}) =>
  app.http[method](path).auth('the-as-token', { type: 'bearer' }).query(query);

async function ghost(extra: object = {}): Promise<{ userId: string; deviceId: string; accessToken: string }> {
  const username = `irc_${uniqueUsername()}`;
  const { body } = await asService('post', `${V3}/register`)
    .send({ type: TYPE, username, ...extra })
    .expect(200);
  return { userId: body.user_id, deviceId: body.device_id, accessToken: body.access_token };
}

describe('POST /register of an application service', () => {
  it('needs neither a password nor authentication, and need not start a session', async () => {
    const { accessToken, userId } = await ghost();
    const own = await app.http.get(`${V3}/account/whoami`).auth(accessToken, { type: 'bearer' }).expect(200);
    expect(own.body).toMatchObject({ user_id: userId });
    expect(await ghost({ inhibit_login: true })).toMatchObject({
      accessToken: undefined,
      deviceId: undefined,
    });
  });

  it.each([
    [undefined, 'M_MISSING_TOKEN'],
    ['wrong', 'M_UNKNOWN_TOKEN'],
  ])('with the token %s is 401 %s', async (token, errcode) => {
    const call = app.http.post(`${V3}/register`);
    if (token !== undefined) call.auth(token, { type: 'bearer' });
    expect((await call.send({ type: TYPE, username: 'irc_x' }).expect(401)).body).toMatchObject({ errcode });
  });

  it('is limited to its namespaces, and nobody else can register names in its exclusive ones', async () => {
    const outside = await asService('post', `${V3}/register`)
      .send({ type: TYPE, username: uniqueUsername() })
      .expect(400);
    expect(outside.body).toMatchObject({ errcode: 'M_EXCLUSIVE' });
    const person = { password: PASSWORD, auth: { type: 'm.login.dummy' } };
    const inside = await app.http
      .post(`${V3}/register`)
      .send({ ...person, username: 'irc_me' })
      .expect(400);
    expect(inside.body).toMatchObject({ errcode: 'M_EXCLUSIVE' });
    const asked = await app.http.get(`${V3}/register/available`).query({ username: 'irc_bot' }).expect(400);
    expect(asked.body.errcode).toMatch(/M_EXCLUSIVE|M_USER_IN_USE/);
    await app.http
      .post(`${V3}/register`)
      .send({ ...person, username: `shared_${uniqueUsername()}` })
      .expect(200);
  });
});

describe('POST /login for an application service', () => {
  const login = (user: string) =>
    asService('post', `${V3}/login`).send({ type: TYPE, identifier: { type: 'm.id.user', user } });

  it('starts a session for a user in its namespaces', async () => {
    const { userId } = await ghost({ inhibit_login: true });
    expect((await login(userId).expect(200)).body).toMatchObject({
      user_id: userId,
      access_token: expect.any(String),
    });
  });

  it.each([
    ['@alice:localhost', 'M_EXCLUSIVE'],
    ['@irc_nobody:localhost', 'M_FORBIDDEN'],
  ])('refuses %s with 403 %s', async (user, errcode) => {
    expect((await login(user).expect(403)).body).toMatchObject({ errcode });
  });

  it('refuses a user outside its namespaces in every spelling', async () => {
    await app.matrix.register({ username: 'boss' });
    for (const spelled of ['Boss', '@Boss:localhost', 'BOSS']) {
      expect((await login(spelled).expect(403)).body).toMatchObject({ errcode: 'M_EXCLUSIVE' });
    }
  });

  it('needs the as_token', async () => {
    const body = { type: TYPE, identifier: { type: 'm.id.user', user: '@irc_x:localhost' } };
    expect((await app.http.post(`${V3}/login`).send(body).expect(401)).body).toMatchObject({
      errcode: 'M_MISSING_TOKEN',
    });
    const { accessToken } = await app.matrix.register();
    const other = await app.http
      .post(`${V3}/login`)
      .auth(accessToken, { type: 'bearer' })
      .send(body)
      .expect(401);
    expect(other.body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
  });
});

describe('The as_token', () => {
  const whoami = (query: object) => asService('get', `${V3}/account/whoami`, query);

  it('acts as its own user or as a named user, with or without a device', async () => {
    expect((await whoami({}).expect(200)).body).toEqual({ user_id: '@irc_bot:localhost', is_guest: false });
    const { userId, deviceId } = await ghost();
    expect((await whoami({ user_id: userId }).expect(200)).body).toEqual({
      user_id: userId,
      is_guest: false,
    });
    const both = await whoami({ user_id: userId, device_id: deviceId }).expect(200);
    expect(both.body).toEqual({ user_id: userId, device_id: deviceId, is_guest: false });
  });

  it('cannot act as other users, as unregistered users, or on devices that do not exist', async () => {
    const { userId } = await ghost();
    const outsider = await app.matrix.register();
    expect((await whoami({ user_id: outsider.userId }).expect(403)).body).toMatchObject({
      errcode: 'M_FORBIDDEN',
    });
    expect((await whoami({ user_id: '@irc_nobody:localhost' }).expect(403)).body).toMatchObject({
      errcode: 'M_FORBIDDEN',
    });
    const nowhere = await whoami({ user_id: userId, device_id: 'NOWHERE' }).expect(400);
    expect(nowhere.body).toMatchObject({ errcode: 'M_UNKNOWN_DEVICE' });
  });

  it('cannot name two users in one request', async () => {
    const answer = await app.http
      .post(`${V3}/logout/all?user_id=@irc_a:localhost&user_id=@irc_b:localhost`)
      .auth('the-as-token', { type: 'bearer' })
      .expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_INVALID_PARAM' });
  });

  it('deactivates only its own users, not people in a shared namespace', async () => {
    const { userId } = await ghost();
    await asService('post', `${V3}/account/deactivate`, { user_id: userId }).send({}).expect(200);
    const person = await app.matrix.register({ username: `shared_${uniqueUsername()}` });
    await asService('post', `${V3}/account/deactivate`, { user_id: person.userId }).send({}).expect(403);
    expect(await app.matrix.whoami(person)).toMatchObject({ status: 200 });
  });

  it('is required for user_id: other tokens cannot act as another user', async () => {
    const session = await app.matrix.register();
    const answer = await app.http
      .get(`${V3}/account/whoami`)
      .auth(session.accessToken, { type: 'bearer' })
      .query({ user_id: '@irc_bot:localhost' })
      .expect(200);
    expect(answer.body).toMatchObject({ user_id: session.userId });
  });

  it('deletes the named device on /logout, and stays valid itself', async () => {
    const { userId, deviceId } = await ghost();
    const other = await asService('post', `${V3}/login`).send({ type: TYPE, user: userId }).expect(200);
    await asService('post', `${V3}/logout`, { user_id: userId, device_id: deviceId }).expect(200, {});
    expect(await census(app, userId)).toMatchObject({ devices: 1, access_tokens: 1 });
    await asService('post', `${V3}/logout/all`, { user_id: userId }).expect(200, {});
    expect(await census(app, userId)).toMatchObject({ devices: 0, access_tokens: 0 });
    await app.http.get(`${V3}/account/whoami`).auth(other.body.access_token, { type: 'bearer' }).expect(401);
    await whoami({}).expect(200);
  });

  it('gets a 400 that names device_id on /logout without a device', async () => {
    const { userId } = await ghost();
    const answer = await asService('post', `${V3}/logout`, { user_id: userId }).expect(400);
    expect(answer.body).toMatchObject({
      errcode: 'M_MISSING_PARAM',
      error: expect.stringContaining('device_id'),
    });
    expect(await census(app, userId)).toMatchObject({ devices: 1 });
  });

  it('needs a device to upload keys', async () => {
    const answer = await asService('post', `${V3}/keys/upload`).send({}).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_MISSING_PARAM' });
  });
});

describe('A ghost whose name was registered with capital letters', () => {
  it('is found by any spelling of its name, wherever a user is named', async () => {
    const name = `irc_Alice-${uniqueUsername()}`;
    const type = { type: TYPE, username: name };
    const registered = await asService('post', `${V3}/register`).send(type).expect(200);
    const userId = `@${name.toLowerCase()}:localhost`;
    expect(registered.body.user_id).toBe(userId);
    for (const user_id of [userId, `@${name}:localhost`, `@${name.toUpperCase()}:localhost`]) {
      const whoami = await asService('get', `${V3}/account/whoami`, { user_id }).expect(200);
      expect(whoami.body.user_id).toBe(userId);
      await asService('post', `${V3}/login`)
        .send({ type: TYPE, identifier: { type: 'm.id.user', user: user_id } })
        .expect(200);
    }
    await asService('get', `${V3}/account/whoami`, { user_id: '@Someone:localhost' }).expect(403);
  });

  it('may have a name that people cannot register', async () => {
    const strange = await TestApp.start({
      variables: {
        APPSERVICE_FILES: await file('strange.yaml', REGISTRATION.replace('@irc_.*', '@_bridge_.*|@[0-9]+')),
      },
    });
    try {
      for (const username of ['_bridge_x', '4711'])
        await strange.http
          .post(`${V3}/register`)
          .auth('the-as-token', { type: 'bearer' })
          .send({ type: TYPE, username })
          .expect(200);
    } finally {
      await strange.stop();
    }
  });
});

describe('Registration files', () => {
  const load = (files: string[]) =>
    AppserviceRegistry.load(Environment.load({ APPSERVICE_FILES: files.join(',') }));

  it('prevent the start if one is missing, broken or incomplete, and the error names it', async () => {
    expect(() => load(['/nowhere.yaml'])).toThrow(/APPSERVICE_FILES.*\/nowhere\.yaml/);
    const incomplete = await file('incomplete.yaml', REGISTRATION.replace('as_token: the-as-token', ''));
    expect(() => load([incomplete])).toThrow(/incomplete\.yaml: as_token/);
    const broken = await file('broken.yaml', REGISTRATION.replace('@irc_.*', '(['));
    expect(() => load([broken])).toThrow(/broken\.yaml/);
  });

  it('cannot share an as_token', async () => {
    const one = await file('one.yaml', REGISTRATION);
    const other = await file(
      'other.yaml',
      REGISTRATION.replace('id: irc', 'id: other').replace('irc_bot', 'bot'),
    );
    expect(() => load([one, other])).toThrow(/same as_token/);
  });
});

describe('Devices of an application service', () => {
  const devicesOf = async (user_id: string) =>
    (await asService('get', `${V3}/devices`, { user_id }).expect(200)).body.devices;

  it('are created with PUT: 201 the first time, 200 afterwards', async () => {
    const { userId: user_id } = await ghost({ inhibit_login: true });
    const put = (display_name?: string) =>
      asService('put', `${V3}/devices/GHOST%2F1`, { user_id }).send({ display_name });
    await put('Bridge').expect(201, {});
    expect(await devicesOf(user_id)).toEqual([{ device_id: 'GHOST/1', display_name: 'Bridge' }]);
    await put().expect(200, {});
    await put('Renamed').expect(200, {});
    expect(await devicesOf(user_id)).toEqual([{ device_id: 'GHOST/1', display_name: 'Renamed' }]);
  });

  it('are used for keys with ?device_id=, and are deleted without authentication', async () => {
    const { userId: user_id } = await ghost({ inhibit_login: true });
    for (const device_id of ['A', 'B', 'C']) {
      await asService('put', `${V3}/devices/${device_id}`, { user_id }).send({}).expect(201);
      await asService('post', `${V3}/keys/upload`, { user_id, device_id })
        .send(someKeys({ userId: user_id, deviceId: device_id, accessToken: '' }))
        .expect(200);
    }
    await asService('delete', `${V3}/devices/A`, { user_id }).expect(200, {});
    await asService('post', `${V3}/delete_devices`, { user_id })
      .send({ devices: ['B', 'X'] })
      .expect(200, {});
    expect(await census(app, user_id, 'A')).toEqual(NOTHING);
    expect(await census(app, user_id, 'B')).toEqual(NOTHING);
    expect((await devicesOf(user_id)).map(({ device_id }: { device_id: string }) => device_id)).toEqual([
      'C',
    ]);
    const missing = await asService('post', `${V3}/delete_devices`, { user_id }).send({}).expect(400);
    expect(missing.body).toMatchObject({ errcode: 'M_MISSING_PARAM' });
  });

  it('cannot have an ID that no device may have', async () => {
    const { userId: user_id } = await ghost({ inhibit_login: true });
    const put = (id: string, body = {}) =>
      asService('put', `${V3}/devices/${encodeURIComponent(id)}`, { user_id }).send(body);
    for (const id of ['*', 'x'.repeat(256)])
      expect((await put(id).expect(400)).body).toMatchObject({ errcode: 'M_INVALID_PARAM' });
    const long = await put('D', { display_name: 'x'.repeat(101) }).expect(400);
    expect(long.body).toMatchObject({ errcode: 'M_TOO_LARGE' });
    expect(await devicesOf(user_id)).toEqual([]);
  });

  it('cannot have the ID of a cross-signing key, which can be replaced without authentication', async () => {
    const { userId: user_id } = await ghost({ inhibit_login: true });
    const upload = (keys: SigningUser) =>
      asService('post', `${V3}/keys/device_signing/upload`, { user_id }).send(keys.upload());
    const keys = new SigningUser(user_id);
    await upload(keys).expect(200, {});
    await upload(new SigningUser(user_id)).expect(200, {});
    const path = `${V3}/devices/${encodeURIComponent(keys.master.publicKey)}`;
    const answer = await asService('put', path, { user_id }).send({}).expect(403);
    expect(answer.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    expect(await devicesOf(user_id)).toEqual([]);
  });

  it('must be named when keys are uploaded', async () => {
    const { userId: user_id } = await ghost({ inhibit_login: true });
    const answer = await asService('post', `${V3}/keys/upload`, { user_id }).send({}).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_MISSING_PARAM' });
  });
});
