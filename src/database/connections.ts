import { Turns } from './turns.js';

/** How long a request may wait for the database before it is refused with 503. */
export const PATIENCE_MS = 10_000;
/** How many requests may wait for one kind of work. */
export const MOST_WAITING = 4_096;

/**
 * The connection budget of a pool: how many each kind of work may use at once. Transactions may hang in a listener or
 * wait for a lock, so they never take the last connections, and look-ups keep working.
 */
export class Connections {
  readonly transactions: Turns;
  readonly lookUps: Turns;
  /** Transactions that may wait long for a lock: at most half of all, so that shared ones can still run. */
  readonly patient: Turns;
  /** How many of those one kind of shared work may have: one kind must not keep all others waiting. */
  readonly patientOfAKind: number;
  /**
   * How many calls of one kind of shared work run at once. Two, so that one works while the other commits: one alone
   * lost a fifth of the throughput, and more gained nothing. Where only one user's requests share a call, all of them.
   */
  readonly sharedAtOnce: number;

  /** @param isByUser whether only requests of the same user share calls, as a distributed database needs it */
  constructor(
    poolSize: number,
    readonly isByUser = false,
  ) {
    const transactions = Math.max(1, poolSize - Math.ceil(poolSize / 5));
    const waiting = { waiting: MOST_WAITING, waitMs: PATIENCE_MS };
    this.transactions = new Turns({ ...waiting, atOnce: transactions });
    this.lookUps = new Turns({ ...waiting, atOnce: poolSize });
    const patient = Math.max(1, Math.floor(transactions / 2));
    this.patient = new Turns({ ...waiting, atOnce: patient });
    this.patientOfAKind = Math.max(1, patient - 1);
    this.sharedAtOnce = isByUser ? transactions : Math.min(2, transactions);
  }
}
