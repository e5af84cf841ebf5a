import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Administrators by a column, registration tokens that are made while the service runs, and jobs that end sessions. */
export class Administration1764120000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE accounts ADD COLUMN is_admin boolean NOT NULL DEFAULT false;
      CREATE TABLE registration_tokens (
        token text NOT NULL,
        uses_allowed integer,
        used integer NOT NULL DEFAULT 0,
        expires_at timestamptz,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL,
        CONSTRAINT registration_tokens_pkey PRIMARY KEY (token)
      );
      CREATE TABLE ending_jobs (
        job_id text NOT NULL,
        filter jsonb NOT NULL,
        reason text,
        actor text NOT NULL,
        origin jsonb,
        state text NOT NULL,
        position jsonb,
        looked_at bigint NOT NULL DEFAULT 0,
        ended bigint NOT NULL DEFAULT 0,
        failed bigint NOT NULL DEFAULT 0,
        error text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        finished_at timestamptz,
        lease text,
        leased_until timestamptz,
        CONSTRAINT ending_jobs_pkey PRIMARY KEY (job_id)
      );
      CREATE INDEX ending_jobs_finished_idx ON ending_jobs (finished_at);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE ending_jobs, registration_tokens;
      ALTER TABLE accounts DROP COLUMN is_admin;
    `);
  }
}
