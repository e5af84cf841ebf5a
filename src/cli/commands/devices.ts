import type { Context } from '../context.js';
import { listSessions } from './sessions.js';
import { logoutUser } from './users.js';

/** The devices of a user. Each is a session. */
export function listDevices(context: Context, user: string): Promise<void> {
  return listSessions(context, { user, all: true });
}

/** Deletes a device with its tokens and keys, in one commit. */
export function deleteDevice(
  context: Context,
  user: string,
  device: string,
  options: { dryRun?: boolean },
): Promise<void> {
  return logoutUser(context, user, { device, ...options });
}
