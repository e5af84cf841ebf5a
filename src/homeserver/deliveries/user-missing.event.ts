import { SessionEvent } from '../../events/session-event.js';

/** The homeserver does not have a user of this service. Only the homeserver's subscriber gets it. */
export class UserMissing extends SessionEvent {
  static override readonly eventName = 'homeserver.user_missing';

  constructor(readonly userId: string) {
    super();
  }
}
