/** Who is calling: what the guard knows about a request after it has verified the token. */
export interface Requester {
  readonly userId: string;
  /** The calling device; `null` for an application service that names none. */
  readonly device: RequesterDevice | null;
  /** When the access token expires; `null` if it does not. */
  readonly tokenExpiresAt: Date | null;
  /** SHA-256 of the access token; `null` for an application service, whose token belongs to no session. */
  readonly tokenDigest: Buffer | null;
  readonly isGuest: boolean;
  /** An application service acts for the user. */
  readonly isAppservice: boolean;
  /** The session belongs to an OAuth 2.0 client, which proves nothing by a password. */
  readonly isOAuth: boolean;
  /** Locked by an administrator: the user may call nothing but the two logouts. */
  readonly isLocked: boolean;
  /** Suspended by an administrator: the user may not act on others, but may call every endpoint of this service. */
  readonly isSuspended: boolean;
  /** An administrator, though `SERVER_ADMINS` may not name them. */
  readonly isAdmin: boolean;
}

/** The device of a request. */
export interface RequesterDevice {
  readonly userId: string;
  readonly deviceId: string;
  /** When the device was created; distinguishes it from a later device of the same ID. */
  readonly createdAt: Date;
}
