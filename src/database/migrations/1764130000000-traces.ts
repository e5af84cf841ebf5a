import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Where the request that wrote an event was recorded. */
export class Traces1764130000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE event_deliveries ADD COLUMN trace_parent text');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE event_deliveries DROP COLUMN trace_parent');
  }
}
