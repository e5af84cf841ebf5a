import { Injectable } from '@nestjs/common';
import type { Statement } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { Positions } from './finding.js';

// A round may start a little early: otherwise a timer that fires a moment too soon would skip a whole interval. A
// time that is more than an interval away was set while the interval was longer.
const BEGIN_ROUND: Statement = {
  name: 'reconciler_begin_round',
  text: `
    INSERT INTO reconciler_rounds AS r (name, next_at, positions)
    VALUES ($1, $2::timestamptz + 0.9 * $3::bigint * interval '1 millisecond', '{}')
    ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at
    WHERE r.next_at <= $2 OR r.next_at > $2::timestamptz + $3::bigint * interval '1 millisecond'
    RETURNING positions`,
};
const KEEP_POSITIONS: Statement = {
  name: 'reconciler_keep_positions',
  text: 'UPDATE reconciler_rounds SET positions = $2 WHERE name = $1',
};

/** The SQL of the reconciler. */
@Injectable()
export class ReconcilerStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  /**
   * Claims the next round of this name for this node and returns where it continues; `null` if a node had it less
   * than an interval ago.
   */
  async beginRound(name: string, now: Date, intervalMs: number): Promise<Positions | null> {
    const values = [name, now, intervalMs];
    const [round] = await this.unitOfWork.runOne<{ positions: Positions }>(BEGIN_ROUND, values);
    return round?.positions ?? null;
  }

  async keepPositions(name: string, positions: Positions): Promise<void> {
    await this.unitOfWork.runOne(KEEP_POSITIONS, [name, JSON.stringify(positions)]);
  }
}
