import { AccountDeactivated } from './account-deactivated.event.js';
import { AccountRegistered } from './account-registered.event.js';
import { AccountRestricted } from './account-restricted.event.js';
import { DeviceCreated } from './device-created.event.js';
import { DeviceListsChanged } from './device-lists-changed.event.js';
import { DeviceRenamed } from './device-renamed.event.js';
import { DevicesDeleted } from './devices-deleted.event.js';
import { PasswordChanged } from './password-changed.event.js';
import type { SessionEventType } from './session-event.js';
import { SessionStarted } from './session-started.event.js';
import { SessionsEnded } from './sessions-ended.event.js';

/** All events of the service. */
export const EVENT_TYPES: readonly SessionEventType[] = [
  SessionStarted,
  SessionsEnded,
  DeviceCreated,
  DeviceRenamed,
  DevicesDeleted,
  DeviceListsChanged,
  PasswordChanged,
  AccountRegistered,
  AccountRestricted,
  AccountDeactivated,
];
