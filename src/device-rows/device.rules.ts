import { MatrixError } from '../matrix/matrix-error.js';
import type { Entropy } from '../system/entropy.js';

const DEVICE_ID_LENGTH = 10;
const DEVICE_ID_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
/** The limit of other Matrix identifiers; homeservers refuse longer ones. */
const DEVICE_ID_LIMIT = 255;

/**
 * The device ID the client asks for, or a new one.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function chooseDeviceId(wanted: string | undefined, entropy: Entropy): string {
  requireDeviceId(wanted);
  return wanted || entropy.text(DEVICE_ID_LENGTH, DEVICE_ID_ALPHABET);
}

/** `*` means "all devices" elsewhere; clients resolve `.` and `..` in a path before they send it. */
const RESERVED = new Set(['*', '.', '..']);

/** Whether this can be the ID of a device. */
export function isDeviceId(wanted: string): boolean {
  return !RESERVED.has(wanted) && [...wanted].length <= DEVICE_ID_LIMIT && !wanted.includes('\0');
}

/** @throws {MatrixError} `M_INVALID_PARAM` for one that is too long or reserved */
export function requireDeviceId(wanted = ''): void {
  if (!isDeviceId(wanted)) {
    throw MatrixError.invalidParam(
      `A device ID may have at most ${DEVICE_ID_LIMIT} characters, and may not be "*", "." or ".."`,
    );
  }
}

/** Short enough to read, because the names of devices are shown to others. */
const DISPLAY_NAME_LIMIT = 100;

/** Cuts a name that a client generated, for example with its long address, to the allowed length. */
export function shortened(displayName: string): string {
  return [...displayName].slice(0, DISPLAY_NAME_LIMIT).join('');
}

/** Whether people can call a device so. */
export function isShortName(name: string): boolean {
  return name !== '' && [...name].length <= DISPLAY_NAME_LIMIT;
}

/** @throws {MatrixError} 400 `M_TOO_LARGE` */
export function requireShortName(displayName: string | null): void {
  if (displayName !== null && [...displayName].length > DISPLAY_NAME_LIMIT) {
    throw new MatrixError(
      400,
      'M_TOO_LARGE',
      `The name of a device may have at most ${DISPLAY_NAME_LIMIT} characters`,
    );
  }
}
