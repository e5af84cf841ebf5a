import { type Columns, type Terminal, timeOf } from '../terminal.js';

/** A session as the endpoints for administrators show it. */
export interface Session {
  readonly user_id: string;
  readonly device_id: string;
  readonly display_name?: string | null;
  readonly client_id?: string | null;
  readonly created_ts?: number;
  readonly last_seen_ts?: number | null;
  readonly last_seen_ip?: string | null;
  readonly last_seen_user_agent?: string | null;
}

/** What a dry run answers. */
export interface Preview {
  readonly count: number;
  readonly sessions: readonly Session[];
}

export const SESSION_COLUMNS: Columns<Session> = [
  ['User', ({ user_id }) => user_id],
  ['Device', ({ device_id }) => device_id],
  ['Name', ({ display_name }) => display_name],
  ['Client', ({ client_id }) => client_id],
  ['Begun', ({ created_ts }) => timeOf(created_ts)],
  ['Last seen', ({ last_seen_ts }) => timeOf(last_seen_ts)],
  ['Address', ({ last_seen_ip }) => last_seen_ip],
  ['User agent', ({ last_seen_user_agent }) => last_seen_user_agent?.slice(0, 40)],
];

export async function wordsOfPreview(terminal: Terminal, { count, sessions }: Preview): Promise<string> {
  if (count === 0) return 'No session would end.';
  const more = count - sessions.length;
  return [
    await terminal.table(sessions, SESSION_COLUMNS, ''),
    ...(more > 0 ? [`… and ${more} more`] : []),
    `${count} ${count === 1 ? 'session' : 'sessions'} would end.`,
  ].join('\n');
}
