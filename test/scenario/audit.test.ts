import { Injectable, Module } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { Housekeeping } from '../../src/database/housekeeping.js';
import { AuditService } from '../../src/audit/audit.service.js';
import { DevicesDeleted, InTransaction } from '../../src/index.js';
import {
  type ClientSession,
  PASSWORD,
  passwordOf,
  uniqueUsername,
  V3,
} from '../../src/testing/matrix-client.js';
import { useApp } from '../support/test-app.js';

const ADMIN = '@admin:localhost';
let refuses = false;

/** Fails after the audit has recorded the event. */
@Injectable()
class RefusingListener {
  @InTransaction(DevicesDeleted)
  async onDevicesDeleted(): Promise<void> {
    if (refuses) throw new Error('no');
  }
}

@Module({ providers: [RefusingListener] })
class RefusingModule {}

const app = useApp({
  extensions: [RefusingModule],
  variables: { SERVER_ADMINS: ADMIN, AUDIT_RETENTION: '30d' },
});

interface Entry {
  readonly ts: number;
  readonly action: string;
  readonly reason: string | null;
  readonly [field: string]: unknown;
}

let admin: ClientSession | undefined;

async function audit(query: Record<string, string>): Promise<{ entries: Entry[]; next_batch?: string }> {
  admin ??= await app().createUser('admin');
  const { body } = await app()
    .http.get('/_session/v1/admin/audit')
    .query(query)
    .auth(admin.accessToken, { type: 'bearer' })
    .expect(200);
  return body;
}

/** Returns the audit entries of a user's sessions, oldest first. */
async function story({ userId }: { userId: string }): Promise<string[]> {
  const entries = (await audit({ user_id: userId })).entries.filter(
    ({ action }) => action.startsWith('session_') || action === 'refused',
  );
  return entries.toReversed().map(({ action, reason }) => (reason === null ? action : `${action} ${reason}`));
}

const change = (session: ClientSession) =>
  app()
    .matrix.call(session, 'post', '/account/password')
    .send({ new_password: 'another long phrase', auth: passwordOf(session) })
    .expect(200);

describe('The audit', () => {
  it('records who logged in and out, with address and user agent', async () => {
    const session = await app().matrix.register({ device_id: 'PHONE' });
    await app().matrix.logout(session).set('User-Agent', 'Phone/1.0').expect(200);
    const { entries } = await audit({ user_id: session.userId });
    const common = {
      user_id: session.userId,
      device_id: 'PHONE',
      operation: null,
      actor: null,
      client_id: null,
      ts: expect.any(Number),
    };
    expect(entries).toEqual([
      {
        ...common,
        action: 'session_ended',
        reason: 'logout',
        address: expect.stringContaining('127.0.0.1'),
        user_agent: 'Phone/1.0',
      },
      {
        ...common,
        action: 'session_started',
        reason: null,
        address: expect.stringContaining('127.0.0.1'),
        user_agent: null,
      },
      {
        ...common,
        device_id: null,
        action: 'account_registered',
        reason: 'user',
        address: expect.stringContaining('127.0.0.1'),
        user_agent: null,
      },
    ]);
  });

  it('records separate entries for logouts that shared a commit', async () => {
    const sessions = await Promise.all(Array.from({ length: 8 }, () => app().matrix.register()));
    await Promise.all(
      sessions.map((session) => app().matrix.logout(session).set('User-Agent', session.userId)),
    );
    for (const { userId } of sessions) {
      const { entries } = await audit({ user_id: userId, action: 'session_ended' });
      expect(entries).toMatchObject([{ user_agent: userId, reason: 'logout' }]);
    }
  });

  it.each([
    ['logout_all', (session: ClientSession) => app().matrix.logoutAll(session).expect(200)],
    [
      'device_deleted',
      async (session: ClientSession) => {
        const other = await app().matrix.login(session.userId);
        const auth = passwordOf(session);
        await app().matrix.call(session, 'delete', `/devices/${other.deviceId}`).send({ auth }).expect(200);
      },
    ],
    [
      'password_changed',
      async (session: ClientSession) => {
        await app().matrix.login(session.userId);
        await change(session);
      },
    ],
    [
      'deactivated',
      (session: ClientSession) =>
        app()
          .matrix.call(session, 'post', '/account/deactivate')
          .send({ auth: passwordOf(session) })
          .expect(200),
    ],
    [
      'replaced_by_login',
      (session: ClientSession) => app().matrix.login(session.userId, { device_id: session.deviceId }),
    ],
    [
      'refresh_replay',
      async ({ refreshToken }: ClientSession) => {
        const { body } = await app().matrix.refresh(refreshToken!).expect(200);
        await app().matrix.refresh(body.refresh_token).expect(200);
        app().clock.advance(61_000);
        await app().matrix.refresh(refreshToken!).expect(401);
      },
    ],
  ])('records that a session ended by %s', async (reason, end) => {
    const session = await app().matrix.register({ refresh_token: true });
    await end(session);
    const { entries } = await audit({ user_id: session.userId, action: 'session_ended' });
    expect(entries).toMatchObject([{ reason, address: expect.stringContaining('127.0.0.1') }]);
  });

  it('records refused logins, interactive authentication and refreshes', async () => {
    const session = await app().matrix.register();
    const login = { type: 'm.login.password', identifier: { type: 'm.id.user', user: session.userId } };
    await app()
      .http.post(`${V3}/login`)
      .send({ ...login, password: 'wrong' })
      .expect(403);
    const auth = passwordOf(session, 'wrong');
    await app().matrix.call(session, 'post', '/delete_devices').send({ devices: [], auth }).expect(401);
    await app().http.post(`${V3}/refresh`).send({ refresh_token: 'mxr_made_up' }).expect(401);
    await expect
      .poll(() => story(session))
      .toEqual(['session_started', 'refused M_FORBIDDEN', 'refused M_FORBIDDEN']);
    const { entries } = await audit({ user_id: session.userId, action: 'refused' });
    expect(entries.map(({ operation }) => operation)).toEqual(['POST /delete_devices', 'POST /login']);
    const { entries: refused } = await audit({ action: 'refused' });
    expect(refused).toContainEqual(
      expect.objectContaining({ operation: 'POST /refresh', reason: 'M_UNKNOWN_TOKEN', user_id: '' }),
    );
  });

  it('does not record challenges, errors in a body, or made-up tokens', async () => {
    const session = await app().matrix.register();
    await app().matrix.call(session, 'post', '/delete_devices').send({ devices: [] }).expect(401);
    await app().http.post(`${V3}/login`).send({ type: 'm.login.password' }).expect(400);
    const before = (await audit({ action: 'refused' })).entries.length;
    await app()
      .http.post(`${V3}/delete_devices`)
      .auth('made up', { type: 'bearer' })
      .send({ devices: [] })
      .expect(401);
    await app().nest.get(AuditService).beforeApplicationShutdown();
    expect(await story(session)).toEqual(['session_started']);
    expect((await audit({ action: 'refused' })).entries).toHaveLength(before);
  });

  it('contains nothing that was rolled back', async () => {
    const session = await app().matrix.register();
    refuses = true;
    await app().matrix.logout(session).expect(500);
    refuses = false;
    expect(await story(session)).toEqual(['session_started']);
    await app().matrix.logout(session).expect(200);
    expect(await story(session)).toEqual(['session_started', 'session_ended logout']);
  });

  it('names the administrator who ended a session, and anybody who was refused', async () => {
    const [victim, stranger] = [await app().matrix.register(), await app().matrix.register()];
    const end = (by: ClientSession) =>
      app()
        .http.post(`/_session/v1/admin/users/${victim.userId}/logout`)
        .auth(by.accessToken, { type: 'bearer' });
    await audit({});
    await end(stranger).expect(403);
    await end(admin!).expect(200);
    await app().nest.get(AuditService).beforeApplicationShutdown();
    expect((await audit({ user_id: victim.userId })).entries[0]).toMatchObject({
      reason: 'admin',
      actor: ADMIN,
    });
    expect((await audit({ user_id: stranger.userId })).entries[0]).toMatchObject({
      action: 'refused',
      operation: `POST /_session/v1/admin/users/${victim.userId}/logout`,
    });
  });

  it('records changes of accounts, and who made them', async () => {
    const { body } = await app()
      .http.post(`${V3}/register`)
      .set('User-Agent', 'Script/1.0')
      .send({
        username: uniqueUsername(),
        password: PASSWORD,
        inhibit_login: true,
        auth: { type: 'm.login.dummy' },
      })
      .expect(200);
    await audit({});
    const put = (what: 'lock' | 'suspend', to: object) =>
      app()
        .http.put(`/_matrix/client/v1/admin/${what}/${body.user_id}`)
        .auth(admin!.accessToken, { type: 'bearer' })
        .set('User-Agent', 'Console/1.0')
        .send(to)
        .expect(200);
    for (const on of [true, true, false]) {
      await put('lock', { locked: on });
      await put('suspend', { suspended: on });
    }
    const session = await app().matrix.login(body.user_id);
    await change(session);
    await app()
      .matrix.call(session, 'post', '/account/deactivate')
      .send({ auth: passwordOf(session, 'another long phrase') })
      .expect(200);
    const { entries } = await audit({ user_id: body.user_id });
    const ofAccount = entries.toReversed().filter(({ action }) => !action.startsWith('session_'));
    expect(ofAccount.map((entry) => [entry.action, entry['actor'], entry['user_agent']])).toEqual([
      ['account_registered', null, 'Script/1.0'],
      ['account_locked', ADMIN, 'Console/1.0'],
      ['account_suspended', ADMIN, 'Console/1.0'],
      ['account_unlocked', ADMIN, 'Console/1.0'],
      ['account_unsuspended', ADMIN, 'Console/1.0'],
      ['password_changed', null, null],
      ['account_deactivated', null, null],
    ]);
    for (const { address } of ofAccount as unknown as { address: string }[])
      expect(address).toBe('127.0.0.1');
    expect((await audit({ user_id: body.user_id, action: 'account_locked' })).entries).toHaveLength(1);
  });

  it('contains no token and no password', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    const auth = passwordOf(session, 'a wrong but secret one');
    await app().matrix.call(session, 'post', '/account/deactivate').send({ auth });
    await app().matrix.logout(session);
    const text = JSON.stringify(await app().sql('SELECT * FROM audit_entries'));
    expect(text).toContain(session.userId);
    for (const secret of [session.accessToken, session.refreshToken!, PASSWORD, 'a wrong but secret one'])
      expect(text).not.toContain(secret);
  });

  it('does not store unknown names, which may be passwords that were typed into the wrong field', async () => {
    const login = (user: string) =>
      app()
        .http.post(`${V3}/login`)
        .set('User-Agent', 'Mistaken/1.0')
        .send({ type: 'm.login.password', identifier: { type: 'm.id.user', user }, password: 'wrong' })
        .expect(403);
    const { userId } = await app().matrix.register();
    await login('correct horse battery');
    await login(userId);
    await app().nest.get(AuditService).beforeApplicationShutdown();
    const { entries } = await audit({ action: 'refused' });
    const mistaken = entries.filter((entry) => entry['user_agent'] === 'Mistaken/1.0');
    expect(mistaken.map((entry) => entry['user_id'])).toEqual([userId, '']);
  });

  it('records at most sixty refusals per minute of one address', async () => {
    const count = async () => (await audit({ action: 'refused', limit: '1000' })).entries.length;
    app().clock.advance(60_000 - (app().clock.now().getTime() % 60_000));
    const before = await count();
    for (let n = 0; n < 70; n += 1)
      await app().http.post(`${V3}/refresh`).send({ refresh_token: 'mxr_made_up' }).expect(401);
    await app().nest.get(AuditService).beforeApplicationShutdown();
    expect((await count()) - before).toBe(60);
  });

  it('can be read page by page, only by administrators', async () => {
    const session = await app().matrix.register();
    for (let n = 0; n < 4; n += 1) await app().matrix.login(session.userId, { device_id: 'D' });
    const pages: Entry[] = [];
    let from: string | undefined;
    do {
      const query = { user_id: session.userId, limit: '2', ...(from === undefined ? {} : { from }) };
      const page = await audit(query);
      pages.push(...page.entries);
      from = page.next_batch;
    } while (from !== undefined);
    expect(pages).toEqual((await audit({ user_id: session.userId })).entries);
    expect(pages).toHaveLength(9);
    const ask = (query: object) => app().http.get('/_session/v1/admin/audit').query(query);
    await ask({}).auth(session.accessToken, { type: 'bearer' }).expect(403);
    await ask({}).expect(401);
    for (const wrong of [
      { limit: '0' },
      { action: 'x' },
      { from: 'x' },
      { user_id: ['a', 'b'] },
      { user_id: 'alice' },
    ])
      await ask(wrong).auth(admin!.accessToken, { type: 'bearer' }).expect(400);
  });

  it('deletes entries after the retention time', async () => {
    const session = await app().matrix.register();
    await app().nest.get(Housekeeping).run();
    expect(await story(session)).toEqual(['session_started']);
    app().clock.advance(31 * 24 * 60 * 60 * 1_000);
    await app().nest.get(Housekeeping).run();
    expect(await story(session)).toEqual([]);
  });
});
