import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Devices that are ended in steps, and indexes for finding old rows. */
export class Bounds1764060000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE ending_devices (
        user_id text NOT NULL,
        device_id text NOT NULL,
        reason text NOT NULL,
        origin jsonb,
        CONSTRAINT ending_devices_pkey PRIMARY KEY (user_id, device_id),
        CONSTRAINT ending_devices_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      );
      CREATE INDEX access_tokens_expiry_idx ON access_tokens (expires_at) WHERE expires_at IS NOT NULL;
      CREATE INDEX login_tokens_expiry_idx ON login_tokens (expires_at);
      CREATE INDEX device_list_changes_position_idx ON device_list_changes (position);
      CREATE INDEX cross_signing_keys_replaced_idx ON cross_signing_keys (replaced_at) WHERE replaced_at IS NOT NULL;
      CREATE INDEX rate_limits_expiry_idx ON rate_limits (expire);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE ending_devices;
      DROP INDEX access_tokens_expiry_idx, login_tokens_expiry_idx, device_list_changes_position_idx,
        cross_signing_keys_replaced_idx, rate_limits_expiry_idx;
    `);
  }
}
