import type { AdminSession } from './sessions.store.js';

/** A session as the endpoints of administrators show it. */
export const SESSION_SCHEMA = {
  type: 'object',
  properties: {
    user_id: { type: 'string' },
    device_id: { type: 'string' },
    display_name: { type: 'string', nullable: true },
    kind: { type: 'string', description: 'The kind of account.' },
    client_id: { type: 'string', nullable: true, description: 'The OAuth 2.0 client.' },
    created_ts: { type: 'integer' },
    last_seen_ts: { type: 'integer', nullable: true },
    last_seen_ip: { type: 'string', nullable: true },
    last_seen_user_agent: { type: 'string', nullable: true },
  },
};

/** What a dry run answers. */
export const PREVIEW_SCHEMA = {
  type: 'object',
  properties: {
    dry_run: { type: 'boolean' },
    count: { type: 'integer', description: 'How many sessions would end.' },
    sessions: { type: 'array', items: SESSION_SCHEMA, description: 'The first hundred of them.' },
  },
};

export function toSessionDto(session: AdminSession): object {
  return {
    user_id: session.userId,
    device_id: session.deviceId,
    display_name: session.displayName,
    kind: session.kind,
    client_id: session.clientId,
    created_ts: session.createdAt.getTime(),
    last_seen_ts: session.lastSeenAt?.getTime() ?? null,
    last_seen_ip: session.lastSeenIp,
    last_seen_user_agent: session.lastSeenUserAgent,
  };
}

export function toPreview({
  count,
  sessions,
}: {
  readonly count: number;
  readonly sessions: readonly AdminSession[];
}): object {
  return { dry_run: true, count, sessions: sessions.map(toSessionDto) };
}
