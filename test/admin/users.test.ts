import { describe, expect, it } from 'vitest';
import { PASSWORD, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { census, NOTHING, useApp } from '../support/test-app.js';
import { ADMIN_TOKEN, Administrator } from './support.js';

const app = useApp({
  variables: { ADMIN_TOKEN, REGISTRATION: 'closed', SERVER_ADMINS: '@root:localhost' },
});
const admin = new Administrator(app);

interface User {
  readonly user_id: string;
  readonly [field: string]: unknown;
}

async function create(username = uniqueUsername(), more: object = {}): Promise<User> {
  return (await admin.post('/users', { username, password: PASSWORD, ...more }).expect(200)).body as User;
}

describe('ADMIN_TOKEN', () => {
  it('opens the endpoints of administrators, and nothing else', async () => {
    await admin.get('/users').expect(200);
    for (const path of [`${V3}/account/whoami`, `${V3}/devices`]) {
      const answer = await app().http.get(path).auth(ADMIN_TOKEN, { type: 'bearer' }).expect(401);
      expect(answer.body.errcode).toBe('M_UNKNOWN_TOKEN');
    }
    await app().http.post(`${V3}/logout/all`).auth(ADMIN_TOKEN, { type: 'bearer' }).expect(401);
  });

  it('is refused if it is wrong, in the query or there twice', async () => {
    const ask = () => app().http.get('/_session/v1/admin/users');
    for (const wrong of [`${ADMIN_TOKEN}x`, ADMIN_TOKEN.slice(1), 'x'])
      await ask().auth(wrong, { type: 'bearer' }).expect(401);
    await app().http.get(`/_session/v1/admin/users?access_token=${ADMIN_TOKEN}`).expect(401);
    await ask()
      .set('Authorization', [`Bearer ${ADMIN_TOKEN}`, 'Bearer x'] as never)
      .expect(401);
  });

  it('locks and suspends by the endpoints of the specification', async () => {
    const { user_id: userId } = await create();
    const lock = (locked: boolean) =>
      app()
        .http.put(`/_matrix/client/v1/admin/lock/${userId}`)
        .auth(ADMIN_TOKEN, { type: 'bearer' })
        .send({ locked })
        .expect(200);
    await lock(true);
    expect((await admin.get(`/users/${userId}`)).body).toMatchObject({ locked: true });
    await lock(false);
    expect((await admin.get(`/users/${userId}`)).body).toMatchObject({ locked: false });
  });
});

describe('Creating a user', () => {
  it('works while registration is closed; the user can log in', async () => {
    const user = await create('bob');
    expect(user).toEqual({
      user_id: '@bob:localhost',
      kind: 'user',
      admin: false,
      locked: false,
      suspended: false,
      deactivated: false,
      has_password: true,
      devices: 0,
      created_ts: expect.any(Number),
      last_seen_ts: null,
    });
    const session = await app().matrix.login('@bob:localhost');
    await app().matrix.call(session, 'get', '/devices').expect(200);
    expect((await admin.get('/users/@bob:localhost').expect(200)).body).toMatchObject({ devices: 1 });
    const [entry] = (await admin.get('/audit?action=account_registered&user_id=@bob:localhost')).body.entries;
    expect(entry).toMatchObject({ actor: 'admin_token', reason: 'user' });
  });

  it('keeps the rules of names and passwords', async () => {
    await create('carol');
    const refused = async (body: object) => {
      const answer = await admin.post('/users', body).expect(400);
      return answer.body.errcode as string;
    };
    expect(await refused({ username: 'Carol', password: PASSWORD })).toBe('M_USER_IN_USE');
    expect(await refused({ username: '_bridge', password: PASSWORD })).toBe('M_INVALID_USERNAME');
    expect(await refused({ username: 'dave', password: 'x' })).toBe('M_WEAK_PASSWORD');
    expect(await refused({ password: PASSWORD })).toBe('M_MISSING_PARAM');
    expect(await refused({ username: 'dave', pasword: PASSWORD })).toBe('M_BAD_JSON');
    expect(await refused({ username: 'dave', admin: 'yes' })).toBe('M_BAD_JSON');
    await admin.get('/users/@dave:localhost').expect(404);
  });

  it('that is an administrator is in the audit, and refusals do not show registration tokens there', async () => {
    const { user_id: userId } = await create(uniqueUsername(), { admin: true });
    const { entries } = (await admin.get(`/audit?user_id=${userId}`)).body;
    expect(entries.map((one: { action: string }) => one.action).toSorted()).toEqual([
      'account_registered',
      'admin_granted',
    ]);
    const nobody = await app().matrix.login((await create()).user_id);
    await app()
      .http.get('/_session/v1/admin/registration_tokens/a-secret-token')
      .auth(nobody.accessToken, { type: 'bearer' })
      .expect(403);
    const [refusal] = (await admin.get(`/audit?user_id=${nobody.userId}&action=refused`)).body.entries;
    expect(refusal).toMatchObject({ operation: 'GET /_session/v1/admin/registration_tokens/…' });
  });

  it('without a password makes an account that nobody can log in to yet', async () => {
    const username = uniqueUsername();
    const { body } = await admin.post('/users', { username }).expect(200);
    expect(body).toMatchObject({ has_password: false });
    const { body: made } = await admin.put(`/users/@${username}:localhost/password`, {}).expect(200);
    await app().matrix.login(`@${username}:localhost`, { password: made.password });
  });
});

describe('A password', () => {
  it('is set, and all sessions end in the same commit, unless they are to stay', async () => {
    const { user_id: userId } = await create();
    const [first, second] = [await app().matrix.login(userId), await app().matrix.login(userId)];
    const set = (body: object) => admin.put(`/users/${encodeURIComponent(userId)}/password`, body);
    await set({ new_password: 'through-the-looking-glass', logout_devices: false }).expect(200, {});
    expect((await app().matrix.whoami(first)).status).toBe(200);
    const dry = (await set({ dry_run: true }).expect(200)).body;
    expect(dry).toMatchObject({ dry_run: true, count: 2 });
    expect(dry.sessions.map((one: { device_id: string }) => one.device_id).toSorted()).toEqual(
      [first.deviceId, second.deviceId].toSorted(),
    );
    expect((await app().matrix.whoami(first)).status).toBe(200);
    const { body } = await set({}).expect(200);
    expect(body.password).toMatch(/^[\w]{20}$/);
    expect(await census(app(), userId)).toEqual(NOTHING);
    await app().matrix.login(userId, { password: body.password });
    await set({ new_password: 'x' }).expect(400);
    await admin.put('/users/@nobody:localhost/password', {}).expect(404);
  });
});

describe('The reason of an administrator', () => {
  it('is in the audit, with the actor, in the same commit as what ends', async () => {
    const { user_id: userId } = await create();
    const path = `/users/${encodeURIComponent(userId)}`;
    const session = await app().matrix.login(userId);
    await admin.post(`${path}/logout?reason=`).expect(400);
    await admin.post(`${path}/logout?device_id=NONE&reason=x`).expect(404);
    await admin.post(`${path}/logout?device_id=${session.deviceId}&reason=a%20lost%20phone`).expect(200);
    await admin.put(`${path}/password`, { reason: 'guessed' }).expect(200);
    await admin.post(`${path}/deactivate`, { reason: 'spam' }).expect(200);
    const { entries } = (await admin.get(`/audit?action=sessions_ending&user_id=${userId}`)).body;
    expect(entries).toMatchObject(
      ['spam', 'guessed', 'a lost phone'].map((reason) => ({ reason, actor: 'admin_token' })),
    );
  });
});

describe('Deactivating a user', () => {
  it('ends everything, after a dry run that ends nothing', async () => {
    const { user_id: userId } = await create();
    const session = await app().matrix.login(userId);
    const call = (body: object) => admin.post(`/users/${userId}/deactivate`, body);
    expect((await call({ dry_run: true }).expect(200)).body).toMatchObject({ dry_run: true, count: 1 });
    expect((await app().matrix.whoami(session)).status).toBe(200);
    await call({}).expect(200, {});
    expect(await census(app(), userId)).toEqual(NOTHING);
    expect((await admin.get(`/users/${userId}`)).body).toMatchObject({
      deactivated: true,
      has_password: false,
    });
    await call({}).expect(404);
    const [entry] = (await admin.get(`/audit?action=account_deactivated&user_id=${userId}`)).body.entries;
    expect(entry).toMatchObject({ actor: 'admin_token' });
  });

  it('who was an administrator and leaves takes that from them', async () => {
    const { user_id: userId } = await create(uniqueUsername(), { admin: true });
    const session = await app().matrix.login(userId);
    const auth = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: userId },
      password: PASSWORD,
    };
    await app()
      .http.post(`${V3}/account/deactivate`)
      .auth(session.accessToken, { type: 'bearer' })
      .send({ auth })
      .expect(200);
    expect((await admin.get(`/users/${userId}`)).body).toMatchObject({ deactivated: true, admin: false });
  });
});

describe('An administrator', () => {
  it('makes others administrators, and takes it back', async () => {
    const { user_id: userId } = await create();
    const session = await app().matrix.login(userId);
    const ask = () =>
      app().http.get('/_session/v1/admin/users').auth(session.accessToken, { type: 'bearer' });
    await ask().expect(403);
    await admin.put(`/users/${userId}/admin`, { admin: true }).expect(200, {});
    await ask().expect(200);
    expect((await admin.get(`/users/${userId}`)).body).toMatchObject({ admin: true });
    const capabilities = await app().matrix.call(session, 'get', '/capabilities').expect(200);
    expect(capabilities.body.capabilities).toHaveProperty('m.account_moderation');
    // Administrators cannot be locked out or deactivated.
    await app()
      .http.put(`/_matrix/client/v1/admin/lock/${userId}`)
      .auth(ADMIN_TOKEN, { type: 'bearer' })
      .send({ locked: true })
      .expect(403);
    await admin.post(`/users/${userId}/deactivate`, {}).expect(403);
    await admin.put(`/users/${userId}/admin`, { admin: false }).expect(200, {});
    await ask().expect(403);
    await admin.put(`/users/${userId}/admin`, { admin: false }).expect(200, {});
    const { body } = await admin.get(`/audit?user_id=${userId}`).expect(200);
    const actions = body.entries.map((one: { action: string }) => one.action);
    expect(actions.filter((action: string) => action.startsWith('admin_'))).toEqual([
      'admin_revoked',
      'admin_granted',
    ]);
  });

  it('of SERVER_ADMINS stays one', async () => {
    await create('root');
    expect((await admin.get('/users/@root:localhost')).body).toMatchObject({ admin: true });
    await admin.put('/users/@root:localhost/admin', { admin: false }).expect(403);
    await admin.post('/users/@root:localhost/deactivate', {}).expect(403);
  });
});

describe('The list of users', () => {
  it('finds users by every condition, in pages', async () => {
    const prefix = uniqueUsername();
    const names = Array.from({ length: 7 }, (_, n) => `${prefix}-${n}`);
    for (const name of names) await create(name);
    const ids = names.map((name) => `@${name}:localhost`);
    const search = (query: string) => admin.all<User>(`/users?search=${prefix}&${query}`, 'users');
    const found = async (query: string) => (await search(query)).map(({ user_id: id }) => id);
    for (const limit of [1, 3, 7, 100]) expect(await found(`limit=${limit}`)).toEqual(ids);

    await app()
      .http.put(`/_matrix/client/v1/admin/lock/${ids[1]}`)
      .auth(ADMIN_TOKEN, { type: 'bearer' })
      .send({ locked: true });
    await admin.post(`/users/${ids[2]}/deactivate`, {}).expect(200);
    expect(await found('state=locked')).toEqual([ids[1]]);
    expect(await found('state=deactivated')).toEqual([ids[2]]);
    expect(await found('state=active')).toEqual([ids[0], ...ids.slice(3)]);
    await admin.put(`/users/${ids[3]}/admin`, { admin: true }).expect(200);
    expect(await found('admin=true')).toEqual([ids[3]]);
    expect(await found('admin=false')).toHaveLength(6);
    expect(await found('kind=guest')).toEqual([]);

    app().clock.advance(3_600_000);
    const now = app().clock.now().getTime();
    const session = await app().matrix.login(ids[4]!);
    await app().sql('UPDATE devices SET last_seen_at = $2 WHERE user_id = $1', [
      session.userId,
      new Date(now),
    ]);
    expect(await found(`seen_after=${now}`)).toEqual([ids[4]]);
    expect(await found(`seen_before=${now}`)).toEqual([...ids.slice(0, 4), ...ids.slice(5)]);
    expect(await found(`created_after=${now}`)).toEqual([]);
    expect(await found(`created_before=${now}`)).toEqual(ids);
  }, 60_000);

  it('refuses conditions that it does not understand', async () => {
    for (const query of ['state=asleep', 'admin=maybe', 'created_before=yesterday', 'limit=0', 'sort=name']) {
      const answer = await admin.get(`/users?${query}`).expect(400);
      expect([query, answer.body.errcode]).toEqual([query, 'M_INVALID_PARAM']);
    }
  });
});
