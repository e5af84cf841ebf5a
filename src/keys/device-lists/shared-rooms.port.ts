/** The users who share a room with a user, and how that changed in a span of time. */
export interface SharedRoomsInSpan {
  /** IDs of the users who share a room with the user at the end of the span. */
  readonly sharing: readonly string[];
  /** Those of them who shared no room with the user at the beginning. */
  readonly began: readonly string[];
  /** IDs of the users who shared a room with the user at the beginning and share none at the end. */
  readonly ended: readonly string[];
}

/**
 * Tells who shares a room with a user, and so whose device lists the user follows ("Tracking the device list for a
 * user"). Only the homeserver knows about rooms, so a team provides it.
 *
 * @example
 * ```ts
 * class Rooms extends SharedRooms {
 *   async inSpan(userId: string, from: Date, to: Date) {
 *     const [sharing, began, ended] = await this.memberships.of(userId, from, to);
 *     return { sharing, began, ended };
 *   }
 * }
 * ```
 */
export abstract class SharedRooms {
  /** Called once for each `GET /keys/changes`. The answer need not include the user. */
  abstract inSpan(userId: string, from: Date, to: Date): Promise<SharedRoomsInSpan>;
}

/**
 * Nobody shares a room with anybody: each user follows its own devices only.
 *
 * @example
 * ```ts
 * createApplication({ environment, database, sharedRooms: new NoSharedRooms() });
 * ```
 */
export class NoSharedRooms extends SharedRooms {
  async inSpan(): Promise<SharedRoomsInSpan> {
    return { sharing: [], began: [], ended: [] };
  }
}
