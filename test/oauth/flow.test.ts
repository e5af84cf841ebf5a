import { describe, expect, it } from 'vitest';
import { someKeys, V3 } from '../../src/testing/matrix-client.js';
import { newDeviceId, newPkce, OAUTH_VARIABLES, OAuthClient, scopeOf } from '../support/oauth.js';
import { census, NOTHING, useApp } from '../support/test-app.js';
import { Visitor } from '../support/visitor.js';

const app = useApp({ variables: OAUTH_VARIABLES });

describe('Signing in by an authorization code', () => {
  it('gives tokens that work like any other, and ends with token, device and keys', async () => {
    const alice = await app().matrix.register();
    const client = await OAuthClient.register(app());
    const deviceId = newDeviceId();
    const tokens = await client.signIn(alice.userId, deviceId);
    expect(tokens).toEqual({
      access_token: expect.stringMatching(/^mxa_/),
      refresh_token: expect.stringMatching(/^mxr_/),
      token_type: 'Bearer',
      expires_in: 900,
      scope: scopeOf(deviceId),
    });
    const session = { userId: alice.userId, deviceId, accessToken: tokens.access_token };
    expect((await app().matrix.whoami(session)).body).toMatchObject({
      user_id: alice.userId,
      device_id: deviceId,
    });
    await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    await client.revoke(tokens.access_token).expect(200, {});
    expect(await census(app(), alice.userId, deviceId)).toEqual(NOTHING);
    await client.revoke(tokens.refresh_token).expect(200, {});
    expect((await app().matrix.whoami(session)).status).toBe(401);
    expect((await app().matrix.whoami(alice)).status).toBe(200);
  });

  it('refreshes by the rules of the legacy API', async () => {
    const alice = await app().matrix.register();
    const client = await OAuthClient.register(app());
    const tokens = await client.signIn(alice.userId);
    const { body } = await client.refresh(tokens.refresh_token).expect(200);
    expect(body.scope).toBe(tokens.scope);
    await app()
      .matrix.call({ ...alice, accessToken: body.access_token }, 'get', '/devices')
      .expect(200);
    const { body: refused } = await app()
      .http.post(`${V3}/refresh`)
      .send({ refresh_token: body.refresh_token })
      .expect(401);
    expect(refused).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN', soft_logout: true });
    await client.refresh(body.refresh_token).expect(200);
  });

  it('tells the app when the user refuses', async () => {
    const alice = await app().matrix.register();
    const client = await OAuthClient.register(app());
    const visitor = new Visitor(app());
    const page = await visitor.signIn(
      alice.userId,
      'correct horse battery staple',
      client.authorizePath(newPkce().challenge),
    );
    const answer = await visitor.submit(page, { decision: 'refuse' }, { action: '/oauth2/auth' });
    expect(answer.headers['location']).toBe(
      'https://app.example.net/callback?error=access_denied&error_description=The%20user%20has%20refused&state=state-1',
    );
  });
});
