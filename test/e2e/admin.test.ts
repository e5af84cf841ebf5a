import { DiscoveryService, MetadataScanner, ModulesContainer } from '@nestjs/core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { PASSWORD, someKeys, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { census, NOTHING, useApp } from '../support/test-app.js';

const app = useApp({ variables: { SERVER_ADMINS: '@admin:localhost,@Boss:localhost' } });
let admin: ClientSession;

beforeAll(async () => {
  admin = await app().createUser('admin');
});

const as = ({ accessToken }: ClientSession, method: 'get' | 'put' | 'post' | 'delete', path: string) =>
  app().http[method](path).auth(accessToken, { type: 'bearer' });

/** Every endpoint for administrators, called for an existing user. */
function endpoints(userId: string): ['get' | 'put' | 'post' | 'delete', string, object?][] {
  const own = '/_session/v1/admin';
  const matrix = '/_matrix/client/v1/admin';
  return [
    ['get', `${own}/audit`],
    ['get', `${own}/deliveries`],
    ['post', `${own}/deliveries/nobody/replay`],
    ['post', `${own}/deliveries/nobody/discard`],
    ['post', `${own}/deliveries/nobody/evt_none/replay`],
    ['post', `${own}/reconcile`],
    ['post', `${own}/users/${userId}/logout`],
    ['get', `${own}/users`],
    ['post', `${own}/users`, { username: 'x' }],
    ['get', `${own}/users/${userId}`],
    ['put', `${own}/users/${userId}/password`, { dry_run: true }],
    ['post', `${own}/users/${userId}/deactivate`, { dry_run: true }],
    ['put', `${own}/users/${userId}/admin`, { admin: false }],
    ['get', `${own}/sessions`],
    ['post', `${own}/sessions/end`, { all: true, dry_run: true }],
    ['get', `${own}/jobs`],
    ['get', `${own}/jobs/job_none`],
    ['post', `${own}/jobs/job_none/cancel`],
    ['post', `${own}/jobs/job_none/resume`],
    ['get', `${own}/registration_tokens`],
    ['post', `${own}/registration_tokens`, { token: 'x' }],
    ['get', `${own}/registration_tokens/none`],
    ['put', `${own}/registration_tokens/none`, {}],
    ['delete', `${own}/registration_tokens/none`],
    ['get', `${matrix}/lock/${userId}`],
    ['put', `${matrix}/lock/${userId}`, { locked: false }],
    ['get', `${matrix}/suspend/${userId}`],
    ['put', `${matrix}/suspend/${userId}`, { suspended: false }],
  ];
}

describe('An endpoint for administrators', () => {
  it('is in the list of this test', () => {
    const handlers = new DiscoveryService(app().nest.get(ModulesContainer))
      .getControllers()
      .flatMap(({ instance }) =>
        new MetadataScanner()
          .getAllMethodNames(Object.getPrototypeOf(instance))
          .map((name) => [
            String(Reflect.getMetadata('path', instance.constructor)),
            Reflect.getMetadata('path', instance[name]) as string | undefined,
          ]),
      )
      .filter(([controller, handler]) => handler !== undefined && controller!.includes('admin'));
    expect(handlers).toHaveLength(endpoints('').length);
  });

  it('refuses unknown parameters and parameters that are given twice, and changes nothing', async () => {
    const victim = await app().matrix.register();
    for (const [method, path, body] of endpoints(victim.userId)) {
      const join = path.includes('?') ? '&' : '?';
      for (const query of ['adress=192.0.2.1', 'user=x', 'Limit=1', 'access_token2=x']) {
        const answer = await as(admin, method, `${path}${join}${query}`).send(body);
        expect([method, path, query, answer.status, answer.body.errcode]).toEqual([
          method,
          path,
          query,
          400,
          'M_INVALID_PARAM',
        ]);
      }
    }
    for (const twice of ['limit=1&limit=2', 'user_id=a&user_id=b'])
      await as(admin, 'get', `/_session/v1/admin/audit?${twice}`).expect(400);
    await as(
      admin,
      'post',
      `/_session/v1/admin/users/${victim.userId}/logout?device_id=a&device_id=b`,
    ).expect(400);
    expect((await app().matrix.whoami(victim)).status).toBe(200);
  });

  it('refuses everybody who is not an administrator', async () => {
    const stranger = await app().matrix.register();
    for (const [method, path, body] of endpoints(stranger.userId)) {
      const answer = await as(stranger, method, path).send(body);
      expect([method, path, answer.status, answer.body.errcode]).toEqual([method, path, 403, 'M_FORBIDDEN']);
    }
  });

  it('accepts the access token as a query parameter, as every endpoint does', async () => {
    await app().http.get(`/_session/v1/admin/audit?access_token=${admin.accessToken}`).expect(200);
  });
});

describe('An administrator', () => {
  it('ends sessions only for a complete user ID in its exact spelling', async () => {
    const victim = await app().matrix.register({ username: `victim-${uniqueUsername()}` });
    const localpart = victim.userId.slice(1, victim.userId.indexOf(':'));
    const end = (user: string) =>
      as(admin, 'post', `/_session/v1/admin/users/${encodeURIComponent(user)}/logout`);
    for (const user of [localpart, localpart.toUpperCase(), `@${localpart}`, `${localpart}:localhost`])
      expect([user, (await end(user)).status]).toEqual([user, 400]);
    await end(`@${localpart}:elsewhere`).expect(400);
    await end(`@${localpart.toUpperCase()}:localhost`).expect(404);
    expect((await app().matrix.whoami(victim)).status).toBe(200);
    await end(victim.userId).expect(200, {});
    expect((await app().matrix.whoami(victim)).status).toBe(401);
  });

  it('has a name that nobody can register, in upper or lower case', async () => {
    for (const username of ['admin', 'Admin', 'boss', 'BOSS']) {
      const body = { username, password: PASSWORD, auth: { type: 'm.login.dummy' } };
      const answer = await app().http.post(`${V3}/register`).send(body).expect(400);
      expect(answer.body.errcode).toBe(username.toLowerCase() === 'admin' ? 'M_USER_IN_USE' : 'M_EXCLUSIVE');
    }
    const answer = await app().http.get(`${V3}/register/available?username=boss`).expect(400);
    expect(answer.body.errcode).toBe('M_EXCLUSIVE');
  });
});

describe('After a restore from a backup', () => {
  it('all sessions that were started or last refreshed before a given time can be ended', async () => {
    const old = await app().matrix.register();
    await app().matrix.uploadKeys(old, someKeys(old)).expect(200);
    const refreshing = await app().matrix.login(old.userId, { refresh_token: true });
    const idle = await app().matrix.login(old.userId, { refresh_token: true });
    const again = await app().matrix.login(old.userId, { device_id: 'AGAIN' });
    // It was idle for so long that its access token was removed.
    const resting = await app().matrix.login(old.userId, { refresh_token: true });
    await app().sql('DELETE FROM access_tokens WHERE device_id = $1', [resting.deviceId]);
    app().clock.advance(60_000);
    const before = app().clock.now().getTime();
    app().clock.advance(60_000);
    const { body: pair } = await app().matrix.refresh(refreshing.refreshToken!).expect(200);
    const renewed = await app().matrix.login(old.userId, { device_id: again.deviceId });
    const fresh = await app().matrix.login(old.userId);
    admin = await app().matrix.login(admin.userId);
    const end = (refreshedBefore: unknown) =>
      as(admin, 'post', '/_session/v1/admin/sessions/end').send({ refreshed_before: refreshedBefore });
    const endAll = async () => {
      const { job_id: jobId } = (await end(before).expect(200)).body;
      return vi.waitFor(async () => {
        const { body } = await as(admin, 'get', `/_session/v1/admin/jobs/${jobId}`).expect(200);
        expect(body.state).toBe('done');
        return body as { ended: number };
      }, 10_000);
    };
    for (const wrong of ['', 'x', -1, null, Math.floor(before / 1_000)])
      expect([wrong, (await end(wrong)).status]).toEqual([wrong, 400]);
    expect(await endAll()).toMatchObject({ ended: expect.any(Number), failed: 0 });
    const statusOf = async (session: ClientSession) => (await app().matrix.whoami(session)).status;
    expect(await Promise.all([old, idle, again].map(statusOf))).toEqual([401, 401, 401]);
    const alive = [{ ...refreshing, accessToken: pair.access_token }, renewed, fresh, admin];
    expect(await Promise.all(alive.map(statusOf))).toEqual([200, 200, 200, 200]);
    for (const { deviceId } of [old, idle])
      await vi.waitFor(
        async () => expect(await census(app(), old.userId, deviceId)).toEqual(NOTHING),
        10_000,
      );
    for (const { refreshToken } of [idle, resting]) await app().matrix.refresh(refreshToken!).expect(401);
    expect(await endAll()).toMatchObject({ ended: 0 });
    const [entry] = (
      await as(admin, 'get', `/_session/v1/admin/audit?user_id=${old.userId}&action=session_ended`)
    ).body.entries;
    expect(entry).toMatchObject({ reason: 'admin', actor: '@admin:localhost' });
  });
});
