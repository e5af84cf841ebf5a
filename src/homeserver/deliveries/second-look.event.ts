import { SessionEvent } from '../../events/session-event.js';

/** Devices of a user that were deleted at the homeserver some seconds ago. Only the homeserver's subscriber gets it. */
export class SecondLook extends SessionEvent {
  static override readonly eventName = 'homeserver.second_look';

  constructor(
    readonly userId: string,
    readonly deviceIds: readonly string[],
  ) {
    super();
  }
}
