/**
 * What happened, as a value that can be stored as JSON: identifiers, reasons and times, never a token or an entity.
 *
 * @example
 * ```ts
 * class NoteAdded extends SessionEvent {
 *   static override readonly eventName = 'acme.note.added';
 *   constructor(readonly userId: string) {
 *     super();
 *   }
 * }
 * ```
 */
export abstract class SessionEvent {
  /** The name on the bus. Never change it: stored rows contain it. */
  static readonly eventName: string;
  /** Whether a `MatrixError` that a listener throws is the answer to the request. Otherwise the answer is a 500. */
  static readonly refusable: boolean = false;

  /**
   * Splits the event into one part for each user, as stored for subscribers. An event about one user has a `userId`
   * and is its own only part.
   */
  perUser(): readonly UserPart[] {
    const { userId } = this as { userId?: string };
    if (userId === undefined) throw new Error(`${this.constructor.name} must say whom it is about`);
    return [{ userId, event: this }];
  }
}

/** The part of an event that is about one user. */
export interface UserPart {
  readonly userId: string;
  readonly event: SessionEvent;
}

/** One part for each user in `items`, in the order of their first items. */
export function partsOf<Item extends { readonly userId: string }>(
  items: readonly Item[],
  toEvent: (items: readonly Item[]) => SessionEvent,
): UserPart[] {
  const byUser = new Map<string, Item[]>();
  for (const item of items) {
    const own = byUser.get(item.userId);
    if (own === undefined) byUser.set(item.userId, [item]);
    else own.push(item);
  }
  return [...byUser].map(([userId, own]) => ({ userId, event: toEvent(own) }));
}

/** The class of an event, by which it is published and subscribed to. */
export type SessionEventType<Event extends SessionEvent = SessionEvent> = {
  readonly eventName: string;
  readonly refusable: boolean;
  new (...args: never[]): Event;
};
