import * as z from 'zod';
import { instant } from '../body.rules.js';

export const USER_STATES = ['active', 'locked', 'suspended', 'deactivated'] as const;

/** Which users are meant: those that meet every condition. */
export const userFilterSchema = z.strictObject({
  search: z.string().min(1).max(255).optional().meta({ description: 'The user ID contains this text.' }),
  state: z.enum(USER_STATES).optional().meta({ description: '`active`: none of the others.' }),
  kind: z.enum(['user', 'guest', 'appservice']).optional(),
  admin: z.boolean().optional().meta({ description: 'Whether they are administrators.' }),
  created_before: instant()
    .optional()
    .meta({ description: 'In milliseconds since the epoch, as all times.' }),
  created_after: instant().optional(),
  seen_before: instant().optional().meta({ description: 'No device was seen since then.' }),
  seen_after: instant().optional().meta({ description: 'A device was seen since then.' }),
});

/** The same in our words. */
export interface UserFilter {
  readonly search?: string | undefined;
  readonly state?: (typeof USER_STATES)[number] | undefined;
  readonly kind?: string | undefined;
  readonly admin?: boolean | undefined;
  readonly createdBefore?: Date | undefined;
  readonly createdAfter?: Date | undefined;
  readonly seenBefore?: Date | undefined;
  readonly seenAfter?: Date | undefined;
  /** Administrators by configuration. */
  readonly serverAdmins: readonly string[];
}

export function toUserFilter(
  given: z.infer<typeof userFilterSchema>,
  serverAdmins: readonly string[],
): UserFilter {
  return {
    search: given.search,
    state: given.state,
    kind: given.kind,
    admin: given.admin,
    createdBefore: given.created_before,
    createdAfter: given.created_after,
    seenBefore: given.seen_before,
    seenAfter: given.seen_after,
    serverAdmins,
  };
}
