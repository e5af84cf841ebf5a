import type request from 'supertest';

/**
 * Path of the client-server API.
 *
 * @example
 * ```ts
 * await app.http.get(`${V3}/account/whoami`).expect(401);
 * ```
 */
export const V3 = '/_matrix/client/v3';
/**
 * The password of users that are registered without another one.
 *
 * @example
 * ```ts
 * await app.http.post(`${V3}/login`).send({ ...login, password: PASSWORD }).expect(200);
 * ```
 */
export const PASSWORD = 'correct horse battery staple';

/** What a client keeps of a session. */
export interface ClientSession {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
  readonly refreshToken?: string;
}

/**
 * The `auth` of a request that proves with the password that the session's user is calling.
 *
 * @example
 * ```ts
 * await app.matrix.call(session, 'delete', '/devices/PHONE').send({ auth: passwordOf(session) }).expect(200);
 * ```
 */
export function passwordOf({ userId }: ClientSession, password = PASSWORD): object {
  return { type: 'm.login.password', identifier: { type: 'm.id.user', user: userId }, password };
}

let users = 0;

/**
 * A user name that no other test uses.
 *
 * @example
 * ```ts
 * await app.matrix.register({ username: uniqueUsername() });
 * ```
 */
export function uniqueUsername(): string {
  users += 1;
  return `user${users}-${process.pid}`;
}

/**
 * A small Matrix client. Methods that return a result expect success; to test a refusal, send the request yourself.
 *
 * @example
 * ```ts
 * const session = await app.matrix.register();
 * await app.matrix.uploadKeys(session, someKeys(session)).expect(200);
 * await app.matrix.logout(session).expect(200);
 * ```
 */
export class MatrixClient {
  constructor(private readonly http: ReturnType<typeof request>) {}

  async register(extra: object = {}): Promise<ClientSession> {
    const body = {
      username: uniqueUsername(),
      password: PASSWORD,
      auth: { type: 'm.login.dummy' },
      ...extra,
    };
    return toSession(await this.http.post(`${V3}/register`).send(body).expect(200));
  }

  async login(user: string, extra: object = {}): Promise<ClientSession> {
    const body = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user },
      password: PASSWORD,
      ...extra,
    };
    return toSession(await this.http.post(`${V3}/login`).send(body).expect(200));
  }

  /** Any call under /_matrix/client/v3, with the token of the session. */
  call(
    { accessToken }: ClientSession,
    method: 'get' | 'put' | 'post' | 'delete',
    path: string,
  ): request.Test {
    return this.http[method](`${V3}${path}`).auth(accessToken, { type: 'bearer' });
  }

  /** Returns the status instead of expecting 200, because 401 is a normal answer. */
  async whoami({ accessToken }: ClientSession): Promise<{ status: number; body: Record<string, unknown> }> {
    return this.http.get(`${V3}/account/whoami`).auth(accessToken, { type: 'bearer' });
  }

  logout({ accessToken }: ClientSession): request.Test {
    return this.http.post(`${V3}/logout`).auth(accessToken, { type: 'bearer' });
  }

  logoutAll({ accessToken }: ClientSession): request.Test {
    return this.http.post(`${V3}/logout/all`).auth(accessToken, { type: 'bearer' });
  }

  refresh(refreshToken: string): request.Test {
    return this.http.post(`${V3}/refresh`).send({ refresh_token: refreshToken });
  }

  uploadKeys({ accessToken }: ClientSession, body: object): request.Test {
    return this.http.post(`${V3}/keys/upload`).auth(accessToken, { type: 'bearer' }).send(body);
  }

  async queryKeys({ accessToken }: ClientSession, userId: string): Promise<Record<string, unknown>> {
    const answer = await this.http
      .post(`${V3}/keys/query`)
      .auth(accessToken, { type: 'bearer' })
      .send({ device_keys: { [userId]: [] } })
      .expect(200);
    return answer.body.device_keys[userId];
  }

  /** IDs and names of the devices, without when they were last seen. */
  async devices({ accessToken }: ClientSession): Promise<{ device_id: string; display_name?: string }[]> {
    const answer = await this.http.get(`${V3}/devices`).auth(accessToken, { type: 'bearer' }).expect(200);
    return answer.body.devices.map(({ device_id, display_name }: Record<string, string>) =>
      display_name === undefined ? { device_id } : { device_id, display_name },
    );
  }
}

/**
 * Identity, one-time and fallback keys like those that a client uploads.
 *
 * @example
 * ```ts
 * await app.matrix.uploadKeys(session, someKeys(session)).expect(200);
 * ```
 */
export function someKeys({ userId, deviceId }: ClientSession, oneTimeKeys = 3): Record<string, object> {
  const signatures = { [userId]: { [`ed25519:${deviceId}`]: 'c2lnbmF0dXJl' } };
  const signed = (name: string) => ({ key: `${name}-${deviceId}`, signatures });
  return {
    device_keys: {
      user_id: userId,
      device_id: deviceId,
      algorithms: ['m.olm.v1.curve25519-aes-sha2', 'm.megolm.v1.aes-sha2'],
      keys: { [`curve25519:${deviceId}`]: 'Y3VydmU', [`ed25519:${deviceId}`]: 'ZWQyNTUxOQ' },
      signatures,
    },
    one_time_keys: Object.fromEntries(
      Array.from({ length: oneTimeKeys }, (_, at) => [
        `signed_curve25519:AAAA${at}`,
        signed(`one-time-${at}`),
      ]),
    ),
    fallback_keys: { 'signed_curve25519:FALL': { ...signed('fallback'), fallback: true } },
  };
}

function toSession({ body }: { body: Record<string, string> }): ClientSession {
  return {
    userId: body['user_id']!,
    deviceId: body['device_id']!,
    accessToken: body['access_token']!,
    ...(body['refresh_token'] === undefined ? {} : { refreshToken: body['refresh_token'] }),
  };
}

/** Keeps supertest from encoding a body by its Content-Type: the bytes are sent unchanged. */
export function asItIs(call: request.Test): request.Test {
  return call.serialize((body) => body as string);
}
