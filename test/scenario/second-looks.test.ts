import { describe, expect, it } from 'vitest';
import { PasswordsService } from '../../src/accounts/passwords.service.js';
import { type ClientSession, passwordOf, V3 } from '../../src/testing/matrix-client.js';
import { UiaService } from '../../src/uia/uia.service.js';
import { SigningUser } from '../support/signing.js';
import { useApp } from '../support/test-app.js';

const app = useApp();

/** Runs `meanwhile` once, right before or right after a method of a provider. */
function during<Provider extends object>(
  provider: abstract new (...args: never[]) => Provider,
  method: keyof Provider & string,
  meanwhile: () => Promise<unknown>,
): void {
  const instance = app().nest.get<Provider, Provider>(provider, { strict: false });
  const works = instance[method] as (...args: unknown[]) => Promise<unknown>;
  Object.assign(instance, {
    [method]: async (...args: unknown[]) => {
      Reflect.deleteProperty(instance, method);
      const result = await works.apply(instance, args);
      await meanwhile();
      return result;
    },
  });
}

const call = (session: ClientSession, path: string, body: object) =>
  app()
    .matrix.call(session, 'post', path)
    .send({ auth: passwordOf(session), ...body });

describe('A login with the old password on the calling device while a request is in progress', () => {
  it('makes a password change fail, so that the new session is not kept in place of the caller’s', async () => {
    const session = await app().matrix.register();
    let thief: ClientSession | undefined;
    during(PasswordsService, 'hash', async () => {
      thief = await app().matrix.login(session.userId, { device_id: session.deviceId });
    });
    const answer = await call(session, '/account/password', { new_password: 'another long phrase' }).expect(
      401,
    );
    expect(answer.body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
    expect((await app().matrix.whoami(thief!)).status).toBe(200);
    await app().matrix.login(session.userId);
  });

  it('makes a deactivation fail', async () => {
    const session = await app().matrix.register();
    during(UiaService, 'authorise', () =>
      app().matrix.login(session.userId, { device_id: session.deviceId }),
    );
    await call(session, '/account/deactivate', {}).expect(401);
    await app().matrix.login(session.userId);
  });

  it('makes an upload of new cross-signing keys fail', async () => {
    const session = await app().matrix.register();
    const first = new SigningUser(session.userId);
    await call(session, '/keys/device_signing/upload', first.upload()).expect(200);
    during(UiaService, 'authorise', () =>
      app().matrix.login(session.userId, { device_id: session.deviceId }),
    );
    const second = new SigningUser(session.userId);
    await call(session, '/keys/device_signing/upload', second.upload()).expect(401);
    const again = await app().matrix.login(session.userId);
    const { body } = await app()
      .matrix.call(again, 'post', '/keys/query')
      .send({ device_keys: { [session.userId]: [] } });
    expect(Object.keys(body.master_keys[session.userId].keys)).toEqual([first.master.keyId]);
  });
});

describe('A logout of the caller while a request is in progress', () => {
  it('makes a password change fail, and keeps the old password', async () => {
    const session = await app().matrix.register();
    during(PasswordsService, 'hash', () => app().matrix.logout(session).expect(200));
    await call(session, '/account/password', { new_password: 'another long phrase' }).expect(401);
    await app()
      .http.post(`${V3}/login`)
      .send({ type: 'm.login.password', user: session.userId, password: 'another long phrase' })
      .expect(403);
    await app().matrix.login(session.userId);
  });
});
