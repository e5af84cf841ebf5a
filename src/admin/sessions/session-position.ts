import type { DeviceRef } from '../../events/devices-deleted.event.js';
import { readName } from '../../admin-api/page.rules.js';
import { MatrixError } from '../../matrix/matrix-error.js';

/** The `next_batch` of a page that ends at this session. */
export function toPosition({ userId, deviceId }: DeviceRef): string {
  return Buffer.from(JSON.stringify([userId, deviceId])).toString('base64url');
}

/**
 * The session that `from` names; `null` without one.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function readPosition(from: unknown): DeviceRef | null {
  const text = readName('from', from);
  if (text === null) return null;
  try {
    const [userId, deviceId, ...more] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[];
    if (
      typeof userId === 'string' &&
      typeof deviceId === 'string' &&
      more.length === 0 &&
      isText(userId + deviceId)
    )
      return { userId, deviceId };
  } catch {
    // The same as anything else that is none.
  }
  throw MatrixError.invalidParam('from must be the next_batch of an answer');
}

/** PostgreSQL cannot take NUL, and a lone surrogate is no text. */
function isText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}
