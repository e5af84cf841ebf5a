import type { AdminUser } from './users.store.js';

/** A user as the endpoints of administrators show them. */
export const USER_SCHEMA = {
  type: 'object',
  properties: {
    user_id: { type: 'string' },
    kind: { type: 'string', enum: ['user', 'guest', 'appservice'] },
    admin: { type: 'boolean' },
    locked: { type: 'boolean' },
    suspended: { type: 'boolean' },
    deactivated: { type: 'boolean' },
    has_password: { type: 'boolean', description: 'Whether a password is kept here.' },
    devices: { type: 'integer', description: 'How many devices the user has.' },
    created_ts: { type: 'integer' },
    last_seen_ts: { type: 'integer', nullable: true, description: 'When any device was last seen.' },
  },
};

export function toUserDto(user: AdminUser): object {
  return {
    user_id: user.userId,
    kind: user.kind,
    admin: user.isAdmin,
    locked: user.lockedAt !== null,
    suspended: user.suspendedAt !== null,
    deactivated: user.deactivatedAt !== null,
    has_password: user.hasPassword,
    devices: user.devices,
    created_ts: user.createdAt.getTime(),
    last_seen_ts: user.lastSeenAt?.getTime() ?? null,
  };
}
