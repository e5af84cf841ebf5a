import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who ended the sessions of somebody else; and refusals are found without reading what was not refused. */
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
