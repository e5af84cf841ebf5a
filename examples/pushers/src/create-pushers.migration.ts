import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreatePushers1764100000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE pushers (
        user_id text NOT NULL, app_id text NOT NULL, pushkey text NOT NULL,
        device_id text NOT NULL, pusher jsonb NOT NULL,
        PRIMARY KEY (user_id, app_id, pushkey),
        FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      )`);
    await runner.query('CREATE INDEX pushers_device_idx ON pushers (user_id, device_id)');
    await runner.query('CREATE INDEX pushers_pushkey_idx ON pushers (app_id, pushkey)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE pushers');
  }
}
