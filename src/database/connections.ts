import { Turns } from './turns.js';

/** How long a request may wait for the database before it is refused with 503. */
export const PATIENCE_MS = 10_000;
/** How many requests may wait for one kind of work. */
export const MOST_WAITING = 4_096;

/** What a request may wait for besides shared work. */
export const TURNS_KINDS = ['transactions', 'look-ups', 'patient'] as const;
export type TurnsKind = (typeof TURNS_KINDS)[number];

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
   * lost a fifth of the throughput, and more gained nothing. Where only one user's requests share a call, half of the
   * transactions: one kind must not keep the others waiting.
   */
  readonly sharedAtOnce: number;
  /** How many items of a failed call are tried at once. */
  readonly retriesAtOnce: number;

  private refused: (kind: TurnsKind) => void = () => {};

  /** @param isByUser whether only requests of the same user share calls, as a distributed database needs it */
  constructor(
    poolSize: number,
    readonly isByUser = false,
  ) {
    const transactions = Math.max(1, poolSize - Math.ceil(poolSize / 5));
    const turns = (kind: TurnsKind, atOnce: number) =>
      new Turns({
        waiting: MOST_WAITING,
        waitMs: PATIENCE_MS,
        atOnce,
        onRefusal: () => this.refused(kind),
      });
    this.transactions = turns('transactions', transactions);
    this.lookUps = turns('look-ups', poolSize);
    const patient = Math.max(1, Math.floor(transactions / 2));
    this.patient = turns('patient', patient);
    this.patientOfAKind = Math.max(1, patient - 1);
    this.sharedAtOnce = isByUser ? Math.max(1, Math.floor(transactions / 2)) : Math.min(2, transactions);
    this.retriesAtOnce = isByUser ? 1 : this.sharedAtOnce;
  }

  /** Registers who counts the requests that did not get their turn. */
  whenRefused(count: (kind: TurnsKind) => void): void {
    this.refused = count;
  }
}
