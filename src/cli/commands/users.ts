import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { RestrictionsController } from '../../admin/restrictions.controller.js';
import { AdminLogoutController } from '../../admin/sessions/logout.controller.js';
import { AdminUsersController } from '../../admin/users/users.controller.js';
import { AdminUsers } from '../../admin/users/users.service.js';
import { type Context, OPERATOR, type Service } from '../context.js';
import { type ListOptions, printList } from '../listing.js';
import { type Columns, timeOf } from '../terminal.js';
import { type Preview, wordsOfPreview } from './preview.js';

/** A user as the endpoints for administrators show them. */
interface User {
  readonly user_id: string;
  readonly kind: string;
  readonly admin: boolean;
  readonly locked: boolean;
  readonly suspended: boolean;
  readonly deactivated: boolean;
  readonly has_password: boolean;
  readonly devices: number;
  readonly created_ts: number;
  readonly last_seen_ts: number | null;
}

const COLUMNS: Columns<User> = [
  ['User', ({ user_id }) => user_id],
  ['Kind', ({ kind }) => kind],
  ['State', (user) => stateOf(user)],
  ['Admin', ({ admin }) => (admin ? 'yes' : '')],
  ['Devices', ({ devices }) => devices],
  ['Created', ({ created_ts }) => timeOf(created_ts)],
  ['Last seen', ({ last_seen_ts }) => timeOf(last_seen_ts)],
];

/** Where a password comes from. Otherwise one is made up. */
export interface PasswordOptions {
  readonly passwordFile?: string;
  readonly passwordStdin?: boolean;
}

export function listUsers(context: Context, options: ListOptions): Promise<void> {
  return context.withService((service) => {
    const users = service.get(AdminUsersController);
    return printList<User>(context, options, (query) => users.list(query), {
      key: 'users',
      columns: COLUMNS,
      none: 'No user meets every condition.',
    });
  });
}

export function showUser(context: Context, user: string): Promise<void> {
  return context.withService(async (service) => {
    await sayUser(context, (await service.get(AdminUsersController).get(context.userId(user))) as User);
  });
}

/** Creates a user, whatever `REGISTRATION` says. */
export function createUser(
  context: Context,
  username: string,
  {
    admin = false,
    withoutPassword = false,
    ...from
  }: PasswordOptions & { admin?: boolean; withoutPassword?: boolean },
): Promise<void> {
  return context.withService(
    async (service) => {
      const given = await givenPassword(from);
      const password = withoutPassword ? undefined : (given ?? service.get(AdminUsers).makePassword());
      const body = { username, admin, ...(password === undefined ? {} : { password }) };
      const made = (await service.get(AdminUsersController).create(OPERATOR, body, context.origin)) as User;
      const isMadeUp = password !== undefined && given === null;
      await context.terminal.answer({ ...made, ...(isMadeUp ? { password } : {}) }, () =>
        [`Created ${made.user_id}.`, ...(isMadeUp ? [`The password is ${password}`] : [])].join('\n'),
      );
    },
    { changes: true },
  );
}

/** Sets a password. All sessions of the user end in the same commit, unless they are kept. */
export function setPassword(
  context: Context,
  user: string,
  {
    keepSessions = false,
    dryRun = false,
    ...from
  }: PasswordOptions & { keepSessions?: boolean; dryRun?: boolean },
): Promise<void> {
  return context.withService(
    async (service) => {
      const userId = context.userId(user);
      const users = service.get(AdminUsersController);
      const logout = { logout_devices: !keepSessions };
      if (dryRun)
        return sayPreview(
          context,
          await users.setPassword(OPERATOR, userId, { ...logout, dry_run: true }, context.origin),
        );
      const given = await givenPassword(from);
      if (!keepSessions)
        await context.terminal.confirm(`Set the password of ${userId}, and end all their sessions?`);
      const body = { ...logout, ...(given === null ? {} : { new_password: given }) };
      const answer = (await users.setPassword(OPERATOR, userId, body, context.origin)) as {
        password?: string;
      };
      await context.terminal.answer(answer, () =>
        answer.password === undefined ? 'The password is set.' : `The password is ${answer.password}`,
      );
    },
    { changes: !dryRun },
  );
}

/** Deactivates a user for good. */
export function deactivateUser(
  context: Context,
  user: string,
  { erase = false, dryRun = false, reason }: { erase?: boolean; dryRun?: boolean; reason?: string },
): Promise<void> {
  return context.withService(
    async (service) => {
      const userId = context.userId(user);
      const deactivate = (body: object) =>
        service.get(AdminUsersController).deactivate(OPERATOR, userId, body, context.origin);
      if (dryRun) return sayPreview(context, await deactivate({ dry_run: true }));
      await context.terminal.confirm(`Deactivate ${userId} for good?`);
      await context.terminal.answer(
        await deactivate({ erase, ...(reason === undefined ? {} : { reason }) }),
        () => `${userId} is deactivated.`,
      );
    },
    { changes: !dryRun },
  );
}

/** Ends all sessions of a user, or that of one device, in one commit. */
export function logoutUser(
  context: Context,
  user: string,
  { device, dryRun = false, reason }: { device?: string; dryRun?: boolean; reason?: string },
): Promise<void> {
  return context.withService(
    async (service) => {
      const userId = context.userId(user);
      const logout = (query: object) =>
        service.get(AdminLogoutController).logout(OPERATOR, userId, query, {}, context.origin);
      const of = {
        ...(device === undefined ? {} : { device_id: device }),
        ...(reason === undefined ? {} : { reason }),
      };
      if (dryRun) return sayPreview(context, await logout({ ...of, dry_run: 'true' }));
      await context.terminal.confirm(
        `Log ${userId} out ${device === undefined ? 'everywhere' : `of ${device}`}?`,
      );
      await context.terminal.answer(await logout(of), () => `Token, device and keys are gone.`);
    },
    { changes: !dryRun },
  );
}

export function setAdmin(isAdmin: boolean) {
  return (context: Context, user: string): Promise<void> =>
    changeUser(context, user, (service, userId) =>
      service.get(AdminUsersController).setAdmin(OPERATOR, userId, { admin: isAdmin }, context.origin),
    );
}

export function restrict(restriction: 'lock' | 'suspend', isOn: boolean) {
  return (context: Context, user: string): Promise<void> =>
    changeUser(context, user, (service, userId) => {
      const restrictions = service.get(RestrictionsController);
      return restriction === 'lock'
        ? restrictions.lock(OPERATOR, userId, { locked: isOn }, context.origin)
        : restrictions.suspend(OPERATOR, userId, { suspended: isOn }, context.origin);
    });
}

/** Changes something about a user, and shows what they are now. */
function changeUser(
  context: Context,
  user: string,
  change: (service: Service, userId: string) => Promise<unknown>,
): Promise<void> {
  return context.withService(
    async (service) => {
      const userId = context.userId(user);
      await change(service, userId);
      await sayUser(context, (await service.get(AdminUsersController).get(userId)) as User);
    },
    { changes: true },
  );
}

function sayUser({ terminal }: Context, user: User): void | Promise<void> {
  return terminal.answer(user, () =>
    terminal.facts({
      User: user.user_id,
      Kind: user.kind,
      State: stateOf(user),
      Admin: user.admin,
      Password: user.has_password ? 'kept here' : 'none kept here',
      Devices: user.devices,
      Created: timeOf(user.created_ts),
      'Last seen': timeOf(user.last_seen_ts),
    }),
  );
}

function sayPreview({ terminal }: Context, preview: object): void | Promise<void> {
  return terminal.answer(preview, () => wordsOfPreview(terminal, preview as Preview));
}

function stateOf({ locked, suspended, deactivated }: User): string {
  const states = [deactivated && 'deactivated', locked && 'locked', suspended && 'suspended'].filter(Boolean);
  return states.length === 0 ? 'active' : states.join(', ');
}

/** The password that the options name; `null`: none is named. */
async function givenPassword({ passwordFile, passwordStdin }: PasswordOptions): Promise<string | null> {
  if (passwordFile !== undefined) return withoutEnd(await readFile(passwordFile, 'utf8'));
  if (passwordStdin === true) return withoutEnd(await text(process.stdin));
  return null;
}

/** Editors and `echo` end a line. */
function withoutEnd(password: string): string {
  return password.replace(/\r?\n$/, '');
}
