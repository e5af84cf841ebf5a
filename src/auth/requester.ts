/** Who is calling: what the guard knows of a request once its token was verified. */
export interface Requester {
  readonly userId: string;
  /** The device that acts; `null` for an application service that names none. */
  readonly device: RequesterDevice | null;
  /** SHA-256 of the access token; `null` for an application service, whose token is no session's. */
  readonly tokenDigest: Buffer | null;
  readonly isGuest: boolean;
  /** An application service acts for the user. */
  readonly isAppservice: boolean;
  /** An administrator keeps the user out of everything but the two logouts. */
  readonly isLocked: boolean;
  /** An administrator keeps the user from acting on others; no endpoint of this service is closed to them. */
  readonly isSuspended: boolean;
}

/** The device of a request. */
export interface RequesterDevice {
  readonly userId: string;
  readonly deviceId: string;
  /** Birth of the device; tells it from a later device of the same ID. */
  readonly createdAt: Date;
}
