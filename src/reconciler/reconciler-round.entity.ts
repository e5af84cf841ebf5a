import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Where the reconciler goes on, whichever node does the next round. */
@Entity('reconciler_rounds')
export class ReconcilerRoundEntity {
  @PrimaryColumn({ name: 'name', type: 'text', primaryKeyConstraintName: 'reconciler_rounds_pkey' })
  name!: string;

  /** No node begins another round before. */
  @Column({ name: 'next_at', type: 'timestamptz' })
  nextAt!: Date;

  /** The last row that was looked at, by table; null at its end. */
  @Column({ name: 'positions', type: 'jsonb' })
  positions!: object;
}
