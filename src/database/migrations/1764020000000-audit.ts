import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What happened to sessions, for administrators. */
export class Audit1764020000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_entries (
        user_id text NOT NULL,
        at timestamptz NOT NULL,
        entry_id text NOT NULL,
        action text NOT NULL,
        reason text,
        operation text,
        device_id text,
        address text,
        user_agent text,
        CONSTRAINT audit_entries_pkey PRIMARY KEY (user_id, at, entry_id)
      );
      CREATE INDEX audit_entries_time_idx ON audit_entries (at, entry_id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE audit_entries');
  }
}
