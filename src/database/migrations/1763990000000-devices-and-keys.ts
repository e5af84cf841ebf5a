import type { MigrationInterface, QueryRunner } from 'typeorm';

/** When devices were seen, one-time keys in their order, cross-signing, and the log of device-list changes. */
export class DevicesAndKeys1763990000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE devices
        ADD last_seen_at timestamptz,
        ADD last_seen_ip text,
        ADD last_seen_user_agent text;

      ALTER TABLE one_time_keys ADD batch bigint, ADD claimed_at timestamptz;
      UPDATE one_time_keys k SET batch = ranked.batch FROM (
        SELECT user_id, device_id, algorithm, key_id,
          dense_rank() OVER (PARTITION BY user_id, device_id ORDER BY uploaded_at) AS batch
        FROM one_time_keys
      ) ranked
      WHERE (k.user_id, k.device_id, k.algorithm, k.key_id)
        = (ranked.user_id, ranked.device_id, ranked.algorithm, ranked.key_id);
      ALTER TABLE one_time_keys ALTER batch SET NOT NULL;
      CREATE INDEX one_time_keys_unclaimed_idx ON one_time_keys (user_id, device_id, algorithm, batch, key_id)
        WHERE claimed_at IS NULL;

      CREATE TABLE cross_signing_keys (
        user_id text NOT NULL,
        public_key text NOT NULL,
        usage text NOT NULL,
        key jsonb NOT NULL,
        uploaded_at timestamptz NOT NULL,
        replaced_at timestamptz,
        CONSTRAINT cross_signing_keys_pkey PRIMARY KEY (user_id, public_key),
        CONSTRAINT cross_signing_keys_account_fkey FOREIGN KEY (user_id) REFERENCES accounts (user_id)
      );
      CREATE UNIQUE INDEX cross_signing_keys_current_idx ON cross_signing_keys (user_id, usage)
        WHERE replaced_at IS NULL;

      CREATE TABLE key_signatures (
        user_id text NOT NULL,
        target text NOT NULL,
        signer_user_id text NOT NULL,
        key_id text NOT NULL,
        device_id text,
        signature text NOT NULL,
        CONSTRAINT key_signatures_pkey PRIMARY KEY (user_id, signer_user_id, target, key_id),
        CONSTRAINT key_signatures_account_fkey FOREIGN KEY (user_id) REFERENCES accounts (user_id),
        CONSTRAINT key_signatures_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      );
      CREATE INDEX key_signatures_device_idx ON key_signatures (user_id, device_id);

      CREATE TABLE device_lists (
        user_id text NOT NULL,
        position bigint NOT NULL,
        device_position bigint,
        previous_device_position bigint,
        CONSTRAINT device_lists_pkey PRIMARY KEY (user_id),
        CONSTRAINT device_lists_account_fkey FOREIGN KEY (user_id) REFERENCES accounts (user_id)
      );

      CREATE TABLE device_list_changes (
        user_id text NOT NULL,
        position bigint NOT NULL,
        previous_position bigint,
        change text NOT NULL,
        device_id text,
        signed_user_id text,
        CONSTRAINT device_list_changes_pkey PRIMARY KEY (user_id, position),
        CONSTRAINT device_list_changes_list_fkey FOREIGN KEY (user_id) REFERENCES device_lists (user_id)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE device_list_changes, device_lists, key_signatures, cross_signing_keys;
      DELETE FROM one_time_keys WHERE claimed_at IS NOT NULL;
      DROP INDEX one_time_keys_unclaimed_idx;
      ALTER TABLE one_time_keys DROP batch, DROP claimed_at;
      ALTER TABLE devices DROP last_seen_at, DROP last_seen_ip, DROP last_seen_user_agent;
    `);
  }
}
