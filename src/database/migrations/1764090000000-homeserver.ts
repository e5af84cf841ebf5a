import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which users a homeserver has from this service, and which devices it is told once more to delete. */
export class Homeserver1764090000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE homeserver_users (
        user_id text NOT NULL,
        linked_at timestamptz,
        CONSTRAINT homeserver_users_pkey PRIMARY KEY (user_id)
      );
      CREATE TABLE homeserver_second_looks (
        user_id text NOT NULL,
        device_id text NOT NULL,
        due_at timestamptz NOT NULL,
        CONSTRAINT homeserver_second_looks_pkey PRIMARY KEY (user_id, device_id)
      );
      CREATE INDEX homeserver_second_looks_due_idx ON homeserver_second_looks (due_at);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE homeserver_second_looks, homeserver_users');
  }
}
