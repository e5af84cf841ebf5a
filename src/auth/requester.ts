/** Who is calling: what the guard knows of a request once its token was verified. */
export interface Requester {
  readonly userId: string;
  readonly deviceId: string;
  /** Birth of the device; tells it from a later device of the same ID. */
  readonly deviceCreatedAt: Date;
  /** SHA-256 of the token that was presented. */
  readonly tokenDigest: Buffer;
}
