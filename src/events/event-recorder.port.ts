import type { Tx } from '../database/tx.js';
import type { SessionEvent } from './session-event.js';

/** Records events for subscribers that get them after the commit. */
export abstract class EventRecorder {
  /** Writes the event in the transaction that makes it true. */
  abstract record(tx: Tx, event: SessionEvent): void;
}
