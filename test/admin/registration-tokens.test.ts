import { describe, expect, it } from 'vitest';
import { PASSWORD, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { useApp } from '../support/test-app.js';
import { ADMIN_TOKEN, Administrator } from './support.js';

const app = useApp({
  variables: { ADMIN_TOKEN, REGISTRATION: 'token', REGISTRATION_TOKENS: 'of-the-configuration' },
});
const admin = new Administrator(app);

async function create(body: object): Promise<string> {
  return (await admin.post('/registration_tokens', body).expect(200)).body.token as string;
}

const register = (token: string, username = uniqueUsername()) =>
  app()
    .http.post(`${V3}/register`)
    .send({ username, password: PASSWORD, auth: { type: 'm.login.registration_token', token } });

const validity = async (token: string) =>
  (
    await app()
      .http.get(`/_matrix/client/v1/register/m.login.registration_token/validity?token=${token}`)
      .expect(200)
  ).body.valid as boolean;

describe('A registration token that an administrator made', () => {
  it('makes as many accounts as it may, however many try at once', async () => {
    const token = await create({ uses_allowed: 3 });
    expect(token).toMatch(/^\w{16}$/);
    expect(await validity(token)).toBe(true);
    const statuses = (await Promise.all(Array.from({ length: 8 }, () => register(token)))).map(
      ({ status }) => status,
    );
    expect(statuses.toSorted()).toEqual([200, 200, 200, 401, 401, 401, 401, 401]);
    expect(await validity(token)).toBe(false);
    expect((await admin.get(`/registration_tokens/${token}`).expect(200)).body).toEqual({
      token,
      uses_allowed: 3,
      used: 3,
      expires_ts: null,
      created_ts: expect.any(Number),
      created_by: 'admin_token',
    });
    await admin.put(`/registration_tokens/${token}`, { uses_allowed: null }).expect(200);
    await register(token).expect(200);
  });

  it('ends at its time, unless that is changed', async () => {
    const ends = app().clock.now().getTime() + 60_000;
    const token = await create({ token: 'of-today', expires_ts: ends });
    await register(token).expect(200);
    app().clock.advance(60_000);
    expect(await validity(token)).toBe(false);
    await register(token).expect(401);
    await admin.put(`/registration_tokens/${token}`, { expires_ts: ends + 60_000 }).expect(200);
    await register(token).expect(200);
  });

  it('is counted once for an authentication session, though the first name was taken', async () => {
    const token = await create({ uses_allowed: 1 });
    const username = uniqueUsername();
    await register('of-the-configuration', username).expect(200);
    const { body: challenge } = await app()
      .http.post(`${V3}/register`)
      .send({ password: PASSWORD })
      .expect(401);
    const auth = { type: 'm.login.registration_token', token, session: challenge.session as string };
    await app().http.post(`${V3}/register`).send({ auth }).expect(200);
    expect((await admin.get(`/registration_tokens/${token}`)).body).toMatchObject({ used: 1 });
  });

  it('is refused when it has been revoked', async () => {
    const token = await create({ token: 'short-lived' });
    await admin.delete(`/registration_tokens/${token}`).expect(200, {});
    await register(token).expect(401);
    await admin.delete(`/registration_tokens/${token}`).expect(404);
    await admin.get(`/registration_tokens/${token}`).expect(404);
  });

  it('is listed; that of the configuration is not, and stays valid', async () => {
    const made = [await create({}), await create({}), await create({})];
    const listed = await admin.all<{ token: string }>('/registration_tokens?limit=2', 'registration_tokens');
    const names = listed.map(({ token }) => token);
    for (const token of made) expect(names).toContain(token);
    expect(names).toEqual(names.toSorted());
    expect(names).not.toContain('of-the-configuration');
    await register('of-the-configuration').expect(200);
    await admin.delete('/registration_tokens/of-the-configuration').expect(404);
  });

  it('is in the audit when it is made, changed or revoked, without what one could register with', async () => {
    const audited = async () => {
      const { body } = await admin.get('/audit?limit=1000').expect(200);
      const entries = body.entries as { action: string; operation: string; actor: string; user_id: string }[];
      return entries.filter(({ action }) => action.startsWith('registration_token_'));
    };
    const before = (await audited()).length;
    const token = await create({ token: 'looking-glass' });
    await admin.put(`/registration_tokens/${token}`, { uses_allowed: 3 }).expect(200);
    await admin.delete(`/registration_tokens/${token}`).expect(200);
    await admin.delete(`/registration_tokens/${token}`).expect(404);
    await admin.put(`/registration_tokens/${token}`, { uses_allowed: 4 }).expect(404);
    await admin.post('/registration_tokens', { token: 'with space' }).expect(400);
    const entries = (await audited()).slice(0, -before || undefined);
    expect(entries.map(({ action }) => action).toReversed()).toEqual([
      'registration_token_created',
      'registration_token_changed',
      'registration_token_revoked',
    ]);
    for (const entry of entries)
      expect(entry).toMatchObject({ operation: 'look…', actor: 'admin_token', user_id: '' });
    await create({ token: 'abc' });
    expect((await audited())[0]).toMatchObject({ operation: 'a…' });
  });

  it('keeps the rules', async () => {
    await create({ token: 'taken' });
    for (const [body, errcode] of [
      [{ token: 'taken' }, 'M_INVALID_PARAM'],
      [{ token: 'of-the-configuration' }, 'M_INVALID_PARAM'],
      [{ token: 'with space' }, 'M_INVALID_PARAM'],
      [{ uses_allowed: 0 }, 'M_BAD_JSON'],
      [{ uses_alowed: 1 }, 'M_BAD_JSON'],
      [{ expires_ts: 'soon' }, 'M_BAD_JSON'],
    ] as const) {
      const answer = await admin.post('/registration_tokens', body).expect(400);
      expect([body, answer.body.errcode]).toEqual([body, errcode]);
    }
  });
});
