import * as z from 'zod';
import { toUserId } from '../matrix/user-id.js';

/** A registration file as the application service API specifies. Keys about rooms and events are ignored. */
const registrationSchema = z.object({
  id: z.string().min(1),
  as_token: z.string().min(1),
  hs_token: z.string().min(1),
  sender_localpart: z.string().regex(/^[a-z0-9._=/+-]+$/, 'must be the localpart of a user ID'),
  namespaces: z.object({
    users: z.array(z.object({ exclusive: z.boolean(), regex: z.string() })).default([]),
  }),
});

/** One application service and the users it may act for. */
export class Appservice {
  readonly id: string;
  readonly token: string;
  /** Its own user, for whom it acts if it names no other. */
  readonly sender: string;
  private readonly namespaces: readonly { readonly exclusive: boolean; readonly pattern: RegExp }[];

  /**
   * @param registration the parsed file
   * @throws {z.ZodError | SyntaxError} when it is not a valid registration
   */
  constructor(registration: unknown, serverName: string) {
    const { id, as_token, sender_localpart, namespaces } = registrationSchema.parse(registration);
    this.id = id;
    this.token = as_token;
    this.sender = toUserId(sender_localpart, serverName);
    // Patterns match from the start of the user ID, as in other implementations.
    this.namespaces = namespaces.users.map(({ exclusive, regex }) => ({
      exclusive,
      pattern: new RegExp(`^(?:${regex})`),
    }));
  }

  /** Whether the service may act for this user. */
  covers(userId: string): boolean {
    return userId === this.sender || this.namespaces.some(({ pattern }) => pattern.test(userId));
  }

  /** Whether this user ID is reserved for the service. */
  claims(userId: string): boolean {
    return (
      userId === this.sender ||
      this.namespaces.some(({ exclusive, pattern }) => exclusive && pattern.test(userId))
    );
  }
}
