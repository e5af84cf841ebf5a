/**
 * What happened, as a value that survives JSON: identifiers, reasons and times, never a token or an entity.
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
  /** The name on the bus. It never changes: rows that carry it outlive the code that wrote them. */
  static readonly eventName: string;
  /** Whether a `MatrixError` that a listener throws is the answer to the request; otherwise it is a 500. */
  static readonly refusable: boolean = false;

  /**
   * The event in parts of one user each, in which it is kept for subscribers after the commit. An event that is
   * about one user has a `userId` and is its own part.
   */
  perUser(): readonly UserPart[] {
    const { userId } = this as { userId?: string };
    if (userId === undefined) throw new Error(`${this.constructor.name} must say whom it is about`);
    return [{ userId, event: this }];
  }
}

/** What an event says of one user. */
export interface UserPart {
  readonly userId: string;
  readonly event: SessionEvent;
}

/** One part for each user that `items` name, in the order in which they come. */
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
