import { MatrixError } from '../matrix/matrix-error.js';

/** A device as the homeserver should know it. */
export interface HomeserverDevice {
  readonly userId: string;
  readonly deviceId: string;
  /** `null`: it has no name, or keeps the one that it has. */
  readonly displayName: string | null;
}

/** A request of a client, to be made at the homeserver with the token of the client. */
export interface ForwardedRequest {
  readonly method: 'GET' | 'POST';
  /** From `/_matrix/client` on. */
  readonly path: string;
  readonly token: string;
  readonly body?: object;
}

/** What the homeserver answered. */
export interface ForwardedAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * The homeserver refuses for good what it was told: telling it again would not help. It becomes the answer to the
 * request that waits for it.
 *
 * @example
 * ```ts
 * throw new HomeserverRefusal('M_FORBIDDEN', 'This device ID is that of a key');
 * ```
 */
export class HomeserverRefusal extends Error {
  constructor(
    readonly errcode: string,
    message: string,
  ) {
    super(message);
  }
}

/**
 * The homeserver that trusts the tokens of this service. Users and devices are made and deleted here, and this port
 * tells the homeserver. The service calls it from the outbox, after the commit: one call at a time for each user, in
 * the order of the events, and again until it resolves. So every method must be safe to repeat. A method rejects with
 * {@link HomeserverRefusal} for what the homeserver will never do, and with any other error for what is worth another
 * attempt. `signal` is aborted when nobody waits any longer.
 *
 * `HOMESERVER_URL` binds Synapse. For another homeserver, extend this class and give it as the port `homeserver`; set
 * `HOMESERVER_SECRET` for the introspection of tokens.
 *
 * @example
 * ```ts
 * class OtherHomeserver extends Homeserver {
 *   override async putDevice(device: HomeserverDevice, signal: AbortSignal): Promise<void> {
 *     await fetch(`${URL}/devices`, { method: 'PUT', body: JSON.stringify(device), signal });
 *   }
 * }
 * const app = await createApplication({ environment, database, homeserver: OtherHomeserver });
 * ```
 */
export abstract class Homeserver {
  /** Whether there is one. */
  readonly exists: boolean = true;

  /** Whether it answers at the moment. While it does not, logins on new devices fail, and logouts do not wait. */
  get isUp(): boolean {
    return true;
  }

  /** Registers `work` to be called when it answers again. */
  whenUp(_work: () => void): void {}

  /**
   * Checks that nobody has this user ID there.
   * @throws {MatrixError} 400 `M_USER_IN_USE`, `M_INVALID_USERNAME` or `M_EXCLUSIVE`
   */
  abstract requireFree(userId: string): Promise<void>;

  /**
   * Creates the user. The second call changes nothing.
   * @param asToken the token of the application service that owns the user; otherwise `null`
   */
  abstract provision(userId: string, asToken: string | null, signal: AbortSignal): Promise<void>;

  /** Creates the device, or gives it the name. */
  abstract putDevice(device: HomeserverDevice, signal: AbortSignal): Promise<void>;

  /** Renames the device; a device that is gone is ignored. */
  abstract renameDevice(device: HomeserverDevice, signal: AbortSignal): Promise<void>;

  /**
   * Deletes devices with their keys, pushers and undelivered messages; those that are gone are ignored.
   * @param kept the other devices of the user, for a homeserver that is told faster what to keep
   */
  abstract deleteDevices(
    userId: string,
    deviceIds: readonly string[],
    kept: () => Promise<readonly string[]>,
    signal: AbortSignal,
  ): Promise<void>;

  /** Deactivates the user for good. */
  abstract deactivate(userId: string, erase: boolean, signal: AbortSignal): Promise<void>;

  /** Undoes {@link deactivate}, for teams that offer it; this service never calls it. */
  abstract reactivate(userId: string, signal: AbortSignal): Promise<void>;

  /** Sets or lifts a restriction of the user. */
  abstract restrict(
    userId: string,
    restriction: 'locked' | 'suspended',
    on: boolean,
    signal: AbortSignal,
  ): Promise<void>;

  /** Lets the user replace their cross-signing keys once, for some minutes. */
  abstract allowCrossSigningReset(userId: string): Promise<void>;

  /** Makes the homeserver forget what it remembers about a token that is dead. It never rejects. */
  abstract forgetToken(token: string): Promise<void>;

  /** The devices of the user there; `null` if there is no such user. Devices that no session owns are left out. */
  abstract listDevices(userId: string): Promise<readonly string[] | null>;

  /**
   * Looks whether the two servers are configured for each other.
   * @returns what is wrong, in words for an operator; empty if nothing is
   */
  async problems(): Promise<readonly string[]> {
    return [];
  }

  /** Makes a request on behalf of a client. */
  abstract forward(request: ForwardedRequest): Promise<ForwardedAnswer>;
}

/**
 * Bound if there is no homeserver.
 *
 * @example
 * ```ts
 * const app = await createApplication({ environment, database, homeserver: new NoHomeserver() });
 * ```
 */
export class NoHomeserver extends Homeserver {
  override readonly exists = false;

  async requireFree(): Promise<void> {}
  async provision(): Promise<void> {}
  async putDevice(): Promise<void> {}
  async renameDevice(): Promise<void> {}
  async deleteDevices(): Promise<void> {}
  async deactivate(): Promise<void> {}
  async reactivate(): Promise<void> {}
  async restrict(): Promise<void> {}
  async allowCrossSigningReset(): Promise<void> {}
  async forgetToken(): Promise<void> {}
  async listDevices(): Promise<null> {
    return null;
  }
  async forward(): Promise<ForwardedAnswer> {
    return { status: 404, body: { errcode: 'M_UNRECOGNIZED', error: 'There is no homeserver' } };
  }
}

/** 503: the request needs the homeserver, which does not answer. Nothing was changed, or it was undone. */
export class HomeserverUnavailable extends MatrixError {
  override readonly headers = { 'Retry-After': '5' };

  constructor(options?: ErrorOptions) {
    super(503, 'M_UNKNOWN', 'The homeserver does not answer: try again in a moment', {}, options);
  }
}
