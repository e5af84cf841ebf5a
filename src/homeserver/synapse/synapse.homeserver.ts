import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Environment } from '../../config/environment.js';
import { type Errcode, MatrixError } from '../../matrix/matrix-error.js';
import { localpartOf, toUserId } from '../../matrix/user-id.js';
import { Metrics } from '../../metrics/metrics.js';
import { Clock } from '../../system/clock.js';
import { causesOf } from '../../system/outage.js';
import {
  type ForwardedAnswer,
  type ForwardedRequest,
  Homeserver,
  type HomeserverDevice,
  HomeserverRefusal,
} from '../homeserver.port.js';
import { HomeserverSecret } from '../homeserver-secret.js';
import { SynapseConnection } from './synapse-connection.js';

/**
 * Beyond this many devices, one `sync_devices` is faster than a call for each. Few enough for two rounds, so that a
 * slow Synapse gets through them within the time of a delivery.
 */
const ONE_BY_ONE = 16;
const AT_ONCE = 8;
/** The first minor version with `matrix_authentication_service`. */
const OLDEST = 136;
/** A dead token is only shown so that it is forgotten; no answer to a client should wait long for that. */
const FORGET_MS = 250;

/** Tells a Synapse that delegates its authentication to this service: `/_synapse/mas` and its admin API. */
@Injectable()
export class SynapseHomeserver extends Homeserver implements OnApplicationShutdown {
  private readonly connection: SynapseConnection;
  private readonly secret: HomeserverSecret;
  private readonly adminUser: string;
  private readonly serverName: string;
  private hasAdmin = false;

  constructor(
    environment: Environment,
    metrics: Metrics,
    private readonly clock: Clock,
  ) {
    super();
    const { url, timeoutMs, adminUser } = environment.homeserver;
    this.serverName = environment.serverName;
    this.secret = HomeserverSecret.of(environment)!;
    this.adminUser = adminUser;
    this.connection = new SynapseConnection(url!, timeoutMs, metrics, () => this.ping());
  }

  override get isUp(): boolean {
    return this.connection.isUp;
  }

  override whenUp(work: () => void): void {
    this.connection.whenUp(work);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.connection.close();
  }

  override async problems(): Promise<readonly string[]> {
    try {
      await this.ping();
    } catch (error) {
      return [`Synapse cannot be called: ${causeOf(error)}`];
    }
    const [, version] = /^Synapse\/1\.(\d+)/.exec(this.connection.server ?? '') ?? [];
    if (version !== undefined && Number(version) < OLDEST)
      return [`${this.connection.server} is older than 1.${OLDEST}, the oldest version that works`];
    try {
      await this.listDevices(toUserId(this.adminUser, this.serverName));
      return [];
    } catch (error) {
      return [
        'Synapse does not accept a token of this service. Is `endpoint` in its matrix_authentication_service the ' +
          `address of this service, and is its server_name ${this.serverName}? ${causeOf(error)}`,
      ];
    }
  }

  /** Resolves if Synapse answers and takes the secret. */
  private async ping(): Promise<void> {
    await this.ask('query_user', `?localpart=${encodeURIComponent(this.adminUser)}`);
  }

  async requireFree(userId: string): Promise<void> {
    if (localpartOf(userId) === this.adminUser)
      throw new MatrixError(400, 'M_EXCLUSIVE', 'This user ID is reserved for the service itself');
    const localpart = encodeURIComponent(localpartOf(userId));
    const { status, body } = await this.ask('is_localpart_available', `?localpart=${localpart}`);
    if (status === 200) return;
    const errcode = ['M_USER_IN_USE', 'M_EXCLUSIVE'].find((one) => one === body['errcode']);
    throw new MatrixError(
      400,
      (errcode ?? 'M_INVALID_USERNAME') as Errcode,
      errcode === 'M_USER_IN_USE' ? 'This username is taken' : 'The homeserver does not allow this username',
    );
  }

  async provision(userId: string, asToken: string | null, signal: AbortSignal): Promise<void> {
    if (asToken !== null) return this.register(userId, asToken, signal);
    const { status, body } = await this.tell('provision_user', { localpart: localpartOf(userId) }, signal);
    // Made by an earlier call that is still running.
    if (body['errcode'] === 'M_USER_IN_USE') throw new Error('The user is being made');
    requireDone(status, body);
  }

  async putDevice({ userId, deviceId, displayName }: HomeserverDevice, signal: AbortSignal): Promise<void> {
    const name = displayName === null ? {} : { display_name: displayName };
    const device = { localpart: localpartOf(userId), device_id: deviceId, ...name };
    const { status, body } = await this.tell('upsert_device', device, signal);
    requireDone(status, body);
  }

  async renameDevice(
    { userId, deviceId, displayName }: HomeserverDevice,
    signal: AbortSignal,
  ): Promise<void> {
    const device = { localpart: localpartOf(userId), device_id: deviceId, display_name: displayName ?? '' };
    const { status, body } = await this.tell('update_device_display_name', device, signal);
    if (status !== 404) requireDone(status, body);
  }

  async deleteDevices(
    userId: string,
    deviceIds: readonly string[],
    kept: () => Promise<readonly string[]>,
    signal: AbortSignal,
  ): Promise<void> {
    const localpart = localpartOf(userId);
    if (deviceIds.length > ONE_BY_ONE) {
      const deleted = new Set(deviceIds);
      const devices = (await kept()).filter((deviceId) => !deleted.has(deviceId));
      const { status, body } = await this.tell('sync_devices', { localpart, devices }, signal);
      if (status !== 404) requireDone(status, body);
      return;
    }
    for (let at = 0; at < deviceIds.length; at += AT_ONCE) {
      const calls = deviceIds.slice(at, at + AT_ONCE).map(async (deviceId) => {
        const { status, body } = await this.tell('delete_device', { localpart, device_id: deviceId }, signal);
        if (status !== 404) requireDone(status, body);
      });
      const failed = (await Promise.allSettled(calls)).find(({ status }) => status === 'rejected');
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    }
  }

  async deactivate(userId: string, erase: boolean, signal: AbortSignal): Promise<void> {
    const { status, body } = await this.tell(
      'delete_user',
      { localpart: localpartOf(userId), erase },
      signal,
    );
    if (status !== 404) requireDone(status, body);
  }

  async reactivate(userId: string, signal: AbortSignal): Promise<void> {
    const { status, body } = await this.tell('reactivate_user', { localpart: localpartOf(userId) }, signal);
    requireDone(status, body);
  }

  async restrict(
    userId: string,
    restriction: 'locked' | 'suspended',
    on: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { status, body } =
      restriction === 'locked'
        ? await this.tell('provision_user', { localpart: localpartOf(userId), locked: on }, signal)
        : await this.administrate('PUT', `v1/suspend/${encodeURIComponent(userId)}`, { suspend: on }, signal);
    if (status !== 404) requireDone(status, body);
  }

  async allowCrossSigningReset(userId: string): Promise<void> {
    const { status, body } = await this.tell('allow_cross_signing_reset', { localpart: localpartOf(userId) });
    requireDone(status, body);
  }

  /** Synapse drops what it remembers of a token when the token is shown and the device is gone. */
  async forgetToken(token: string): Promise<void> {
    if (!this.isUp) return;
    const signal = AbortSignal.timeout(FORGET_MS);
    const request = { name: 'whoami', method: 'GET', path: '/_matrix/client/v3/account/whoami' } as const;
    await this.connection.call({ ...request, authorization: `Bearer ${token}`, signal }).catch(() => {});
  }

  async listDevices(userId: string): Promise<readonly string[] | null> {
    const path = `v2/users/${encodeURIComponent(userId)}/devices`;
    const { status, body } = await this.administrate('GET', path);
    if (status === 404) return null;
    requireDone(status, body);
    const devices = body['devices'] as { device_id: string; dehydrated?: boolean }[];
    return devices.filter(({ dehydrated }) => dehydrated !== true).map(({ device_id }) => device_id);
  }

  forward({ method, path, token, body }: ForwardedRequest): Promise<ForwardedAnswer> {
    return this.connection.call({
      name: 'forward',
      method,
      path,
      authorization: `Bearer ${token}`,
      body,
    });
  }

  /** Users of application services are made by their application service alone. */
  private async register(userId: string, asToken: string, signal: AbortSignal): Promise<void> {
    const { status, body } = await this.connection.call({
      name: 'register',
      method: 'POST',
      path: '/_matrix/client/v3/register',
      authorization: `Bearer ${asToken}`,
      body: {
        type: 'm.login.application_service',
        username: localpartOf(userId),
        inhibit_login: true,
      },
      signal,
    });
    if (body['errcode'] !== 'M_USER_IN_USE') requireDone(status, body);
  }

  private ask(call: string, query: string): Promise<ForwardedAnswer> {
    return this.connection.call({
      name: call,
      method: 'GET',
      path: `/_synapse/mas/${call}${query}`,
      authorization: this.secret.authorization,
      isTrusted: true,
    });
  }

  private tell(call: string, body: object, signal?: AbortSignal): Promise<ForwardedAnswer> {
    return this.connection.call({
      name: call,
      method: 'POST',
      path: `/_synapse/mas/${call}`,
      authorization: this.secret.authorization,
      isTrusted: true,
      body,
      signal,
    });
  }

  private async administrate(
    method: 'GET' | 'PUT',
    path: string,
    body?: object,
    signal?: AbortSignal,
  ): Promise<ForwardedAnswer> {
    if (!this.hasAdmin) {
      const { status, body: answer } = await this.tell(
        'provision_user',
        { localpart: this.adminUser },
        signal,
      );
      requireDone(status, answer);
      this.hasAdmin = true;
    }
    return this.connection.call({
      name: `admin ${path.split('/', 2).join('/')}`,
      method,
      path: `/_synapse/admin/${path}`,
      authorization: `Bearer ${this.secret.administratorToken(this.clock.now())}`,
      isTrusted: true,
      body,
      signal,
    });
  }
}

/** What has really happened, below the error that clients get. */
function causeOf(error: unknown): string {
  return [...causesOf(error)].at(-1)?.message ?? String(error);
}

/** @throws {HomeserverRefusal} for an answer that another attempt would not change */
function requireDone(status: number, body: Readonly<Record<string, unknown>>): void {
  if (status < 300) return;
  const { errcode = 'M_UNKNOWN', error = `The homeserver answers ${status}` } = body;
  // Too many requests, or a user that is not there yet.
  if (status === 429 || status === 404) throw new Error(`${String(errcode)}: ${String(error)}`);
  throw new HomeserverRefusal(String(errcode), String(error));
}
