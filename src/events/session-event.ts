/** What happened, as a value that survives JSON: identifiers, reasons and times, never a token or an entity. */
export abstract class SessionEvent {
  /** The name on the bus. It never changes: rows that carry it outlive the code that wrote them. */
  static readonly eventName: string;
  /** Whether a `MatrixError` that a listener throws is the answer to the request; otherwise it is a 500. */
  static readonly refusable: boolean = false;
}

/** The class of an event, by which it is published and subscribed to. */
export type SessionEventType<Event extends SessionEvent = SessionEvent> = {
  readonly eventName: string;
  readonly refusable: boolean;
  new (...args: never[]): Event;
};
