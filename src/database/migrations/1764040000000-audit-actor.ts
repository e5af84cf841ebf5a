import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who ended another user's sessions, and an index that finds refusals without reading other entries. */
export class AuditActor1764040000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE audit_entries ADD COLUMN actor text;
      CREATE INDEX audit_entries_refused_idx ON audit_entries (at, entry_id) WHERE action = 'refused';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX audit_entries_refused_idx;
      ALTER TABLE audit_entries DROP COLUMN actor;
    `);
  }
}
