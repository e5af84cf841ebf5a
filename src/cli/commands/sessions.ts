import { AdminSessionsController } from '../../admin/sessions/sessions.controller.js';
import { AdminUsersController } from '../../admin/users/users.controller.js';
import { asParameters } from '../arguments.js';
import { type Context, OPERATOR } from '../context.js';
import { type ListOptions, printList } from '../listing.js';
import { followJob, type Job } from './jobs.js';
import { type Preview, type Session, SESSION_COLUMNS, wordsOfPreview } from './preview.js';

export interface EndOptions {
  readonly dryRun?: boolean;
  readonly detach?: boolean;
  /** User IDs, or user ID and device ID with a slash between them. */
  readonly except?: readonly string[];
  readonly user?: string;
  readonly [condition: string]: unknown;
}

const SHOWN = { key: 'sessions', columns: SESSION_COLUMNS, none: 'No session meets every condition.' };

export function listSessions(
  context: Context,
  { user, ...options }: ListOptions & { user?: string },
): Promise<void> {
  return context.withService((service) => {
    const sessions = service.get(AdminSessionsController);
    const of = user === undefined ? {} : { userId: context.userId(user) };
    return printList<Session>(context, { ...options, ...of }, (query) => sessions.list(query), SHOWN);
  });
}

/** Ends all sessions that meet every condition, by a job that it waits for. */
export function endSessions(
  context: Context,
  { dryRun = false, detach = false, except = [], user, ...conditions }: EndOptions,
): Promise<number> {
  return context.withService(
    async (service) => {
      const { terminal } = context;
      if (user !== undefined) await service.get(AdminUsersController).get(context.userId(user));
      const controller = service.get(AdminSessionsController);
      const body = {
        ...asParameters(conditions),
        ...(user === undefined ? {} : { user_id: context.userId(user) }),
        ...(except.length === 0 ? {} : { except: except.map((one) => exceptionOf(context, one)) }),
      };
      const preview = (await controller.end(OPERATOR, { ...body, dry_run: true }, context.origin)) as Preview;
      if (dryRun) {
        await terminal.answer(preview, () => wordsOfPreview(terminal, preview));
        return 0;
      }
      await terminal.confirm(`End ${preview.count} ${preview.count === 1 ? 'session' : 'sessions'}?`);
      const job = (await controller.end(OPERATOR, body, context.origin)) as Job;
      return followJob(context, service, job, { total: preview.count, detach });
    },
    { changes: !dryRun },
  );
}

/** Ends all sessions that were begun and last refreshed before a time, for a database that was restored. */
export function endStaleSessions(
  context: Context,
  { before, ...options }: { before: number; dryRun?: boolean; reason?: string },
): Promise<number> {
  return endSessions(context, { ...options, refreshedBefore: before });
}

/** A user, or user and device with a slash between them; user IDs may hold slashes themselves. */
function exceptionOf(context: Context, text: string): object {
  const [, user, device] = /^(@[^:]*:[^/]*|[^@/][^/]*)(?:\/(.+))?$/s.exec(text) ?? [];
  if (user === undefined) return { user_id: text };
  return { user_id: context.userId(user), ...(device === undefined ? {} : { device_id: device }) };
}
