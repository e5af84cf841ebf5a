import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Where the next round of the reconciler continues, on any node. */
@Entity('reconciler_rounds')
export class ReconcilerRoundEntity {
  @PrimaryColumn({ name: 'name', type: 'text', primaryKeyConstraintName: 'reconciler_rounds_pkey' })
  name!: string;

  /** No node starts another round before this time. */
  @Column({ name: 'next_at', type: 'timestamptz' })
  nextAt!: Date;

  /** The last row that was checked, by table; null at the end of the table. */
  @Column({ name: 'positions', type: 'jsonb' })
  positions!: object;
}
