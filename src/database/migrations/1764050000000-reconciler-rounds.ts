import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Where the next round of the reconciler continues, on any node. */
export class ReconcilerRounds1764050000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE reconciler_rounds (
        name text NOT NULL,
        next_at timestamptz NOT NULL,
        positions jsonb NOT NULL,
        CONSTRAINT reconciler_rounds_pkey PRIMARY KEY (name)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE reconciler_rounds');
  }
}
