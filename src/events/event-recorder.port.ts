import type { Tx } from '../database/tx.js';
import type { SessionEvent } from './session-event.js';

/** Keeps events for those who hear of them after the commit. */
export abstract class EventRecorder {
  /** Writes the event down in the transaction that makes it true. */
  abstract record(tx: Tx, event: SessionEvent): void;
}
