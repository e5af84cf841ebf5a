import { createHash, randomBytes } from 'node:crypto';
import type request from 'supertest';
import { expect } from 'vitest';
import { asItIs, PASSWORD } from '../../src/testing/matrix-client.js';
import type { TestApp } from './test-app.js';
import { Visitor } from './visitor.js';

/** The address of the service in tests of OAuth 2.0; nobody looks it up. */
export const OAUTH_BASE = 'https://matrix.example.org';
/** The variables that these tests need. */
export const OAUTH_VARIABLES = { PUBLIC_BASE_URL: OAUTH_BASE };

export const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';

export const REDIRECT_URI = 'https://app.example.net/callback';

/** A client that may use every grant. */
export const CLIENT = {
  client_name: 'Example App',
  client_uri: 'https://app.example.net/',
  redirect_uris: [REDIRECT_URI],
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE],
  token_endpoint_auth_method: 'none',
  application_type: 'web',
};

/** Tokens of an OAuth 2.0 client. */
export interface OAuthTokens {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly token_type: string;
  readonly expires_in: number;
  readonly scope: string;
}

/** A device ID that no other test uses. */
export function newDeviceId(): string {
  return `DEV${randomBytes(9).toString('hex').toUpperCase()}`;
}

export function scopeOf(deviceId: string): string {
  return `urn:matrix:client:api:* urn:matrix:client:device:${deviceId}`;
}

/** A verifier and its challenge (RFC 7636). */
export function newPkce(): { verifier: string; challenge: string } {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}

/** Sends a form byte for byte. */
export function sendForm(app: TestApp, path: string, body: string | Buffer): request.Test {
  return asItIs(app.http.post(path).type('form')).send(body as string);
}

export const oauthError = {
  /** Expects an error of OAuth 2.0 that no client and no cache can misunderstand. */
  expect(answer: request.Response, status: number, error: string): void {
    expect({ status: answer.status, body: answer.body as unknown }).toEqual({
      status,
      body: {
        error,
        error_description: expect.stringMatching(/^[\x20-\x21\x23-\x5B\x5D-\x7E]+$/),
        ...(status === 500 ? { errorId: expect.any(String) } : {}),
      },
    });
    expect(answer.headers).toMatchObject({
      'content-type': expect.stringMatching(/^application\/json/),
      'cache-control': 'no-store',
      'access-control-allow-origin': '*',
    });
  },
};

/** Locks or unlocks an account, as an administrator would. */
export async function lockAccount(app: TestApp, userId: string, isLocked = true): Promise<void> {
  await app.sql('UPDATE accounts SET locked_at = $2 WHERE user_id = $1', [
    userId,
    isLocked ? new Date() : null,
  ]);
}

/** The status of the session that this access token belongs to: 200 while it lives. */
export async function statusOf(app: TestApp, accessToken: string): Promise<number> {
  return (await app.matrix.whoami({ userId: '', deviceId: '', accessToken })).status;
}

/** An OAuth 2.0 client of the service. */
export class OAuthClient {
  private constructor(
    private readonly app: Pick<TestApp, 'http'>,
    readonly clientId: string,
  ) {}

  static async register(app: Pick<TestApp, 'http'>, metadata: object = CLIENT): Promise<OAuthClient> {
    const { body } = await app.http.post('/oauth2/clients').send(metadata).expect(201);
    return new OAuthClient(app, body.client_id as string);
  }

  /** A client that has been registered already. */
  static known(app: TestApp, clientId: string): OAuthClient {
    return new OAuthClient(app, clientId);
  }

  /** The path of a request for a code; further parameters replace the usual ones, `undefined` leaves one out. */
  authorizePath(challenge: string, parameters: Record<string, string | undefined> = {}): string {
    const all = {
      client_id: this.clientId,
      redirect_uri: REDIRECT_URI,
      response_type: 'code',
      response_mode: 'query',
      scope: scopeOf('DEVICEDEVICE'),
      state: 'state-1',
      code_challenge: challenge,
      code_challenge_method: 'S256',
      ...parameters,
    };
    const given = Object.entries(all).filter((one): one is [string, string] => one[1] !== undefined);
    return `/oauth2/auth?${new URLSearchParams(given).toString()}`;
  }

  /** Lets the user of the visitor, who is signed in, agree, and returns the parameters that the app gets. */
  async authorize(
    visitor: Visitor,
    challenge: string,
    parameters: Record<string, string | undefined> = {},
  ): Promise<URLSearchParams> {
    const page = await visitor.get(this.authorizePath(challenge, parameters));
    const answer = await visitor.submit(page, { decision: 'allow' }, { action: '/oauth2/auth' });
    return new URL(answer.headers['location']!).searchParams;
  }

  token(fields: Record<string, string>): request.Test {
    return this.app.http
      .post('/oauth2/token')
      .type('form')
      .send({ client_id: this.clientId, ...fields });
  }

  exchange(code: string, verifier: string, fields: Record<string, string> = {}): request.Test {
    return this.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
      ...fields,
    });
  }

  refresh(refreshToken: string, fields: Record<string, string> = {}): request.Test {
    return this.token({ grant_type: 'refresh_token', refresh_token: refreshToken, ...fields });
  }

  revoke(token: string, fields: Record<string, string> = {}): request.Test {
    return this.app.http
      .post('/oauth2/revoke')
      .type('form')
      .send({ client_id: this.clientId, token, ...fields });
  }

  device(scope: string): request.Test {
    return this.app.http.post('/oauth2/device').type('form').send({ client_id: this.clientId, scope });
  }

  pollDevice(deviceCode: string): request.Test {
    return this.token({ grant_type: DEVICE_CODE, device_code: deviceCode });
  }

  /** The whole flow: signs the user in, agrees, and exchanges the code. */
  async signIn(user: string, deviceId = newDeviceId()): Promise<OAuthTokens> {
    const visitor = new Visitor(this.app);
    await visitor.signIn(user, PASSWORD);
    return this.begin(visitor, deviceId);
  }

  /** The same for somebody who is signed in already. */
  async begin(visitor: Visitor, deviceId = newDeviceId()): Promise<OAuthTokens> {
    const { verifier, challenge } = newPkce();
    const answer = await this.authorize(visitor, challenge, { scope: scopeOf(deviceId) });
    return (await this.exchange(answer.get('code')!, verifier).expect(200)).body as OAuthTokens;
  }
}
