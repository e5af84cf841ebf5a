import type { Logger } from '@nestjs/common';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import { isUnavailable, warnUnlessOutage } from '../../system/outage.js';

/**
 * Ends devices together and, if that fails, each by itself: one device that a listener refuses must not stop the
 * others. What fails alone is logged.
 * @param end resolves with how many devices it ended
 * @throws {Unavailable}
 */
export async function togetherOrAlone(
  devices: readonly DeviceRef[],
  end: (devices: readonly DeviceRef[]) => Promise<number>,
  logger: Logger,
): Promise<number> {
  try {
    return await end(devices);
  } catch (error) {
    if (isUnavailable(error)) throw error;
    if (devices.length === 1) {
      const [{ userId, deviceId }] = devices as [DeviceRef];
      warnUnlessOutage(logger, `${userId} ${deviceId} could not be ended`, error);
      return 0;
    }
  }
  let ended = 0;
  for (const device of devices) ended += await togetherOrAlone([device], end, logger);
  return ended;
}
