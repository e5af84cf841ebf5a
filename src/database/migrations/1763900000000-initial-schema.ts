import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Every table starts with the user it belongs to. Everything that belongs to a device is deleted with it: the foreign
 * key is the safety net under the handlers, so that no forgotten table can outlive a logout.
 */
export class InitialSchema1763900000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE accounts (
        user_id text NOT NULL,
        password_hash text,
        created_at timestamptz NOT NULL,
        CONSTRAINT accounts_pkey PRIMARY KEY (user_id)
      );

      CREATE TABLE devices (
        user_id text NOT NULL,
        device_id text NOT NULL,
        display_name text,
        created_at timestamptz NOT NULL,
        CONSTRAINT devices_pkey PRIMARY KEY (user_id, device_id),
        CONSTRAINT devices_account_fkey FOREIGN KEY (user_id) REFERENCES accounts (user_id)
      );

      CREATE TABLE access_tokens (
        user_id text NOT NULL,
        token_digest bytea NOT NULL,
        device_id text NOT NULL,
        confirms_rotation boolean NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        CONSTRAINT access_tokens_pkey PRIMARY KEY (user_id, token_digest),
        CONSTRAINT access_tokens_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      );
      CREATE INDEX access_tokens_device_idx ON access_tokens (user_id, device_id);

      CREATE TABLE refresh_tokens (
        user_id text NOT NULL,
        device_id text NOT NULL,
        family bytea NOT NULL,
        current_digest bytea NOT NULL,
        previous_digest bytea,
        created_at timestamptz NOT NULL,
        rotated_at timestamptz NOT NULL,
        ended_reason text,
        CONSTRAINT refresh_tokens_pkey PRIMARY KEY (user_id, device_id),
        CONSTRAINT refresh_tokens_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      );
      CREATE UNIQUE INDEX refresh_tokens_family_idx ON refresh_tokens (user_id, family);

      CREATE TABLE device_keys (
        user_id text NOT NULL,
        device_id text NOT NULL,
        keys jsonb NOT NULL,
        uploaded_at timestamptz NOT NULL,
        CONSTRAINT device_keys_pkey PRIMARY KEY (user_id, device_id),
        CONSTRAINT device_keys_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      );

      CREATE TABLE one_time_keys (
        user_id text NOT NULL,
        device_id text NOT NULL,
        algorithm text NOT NULL,
        key_id text NOT NULL,
        key jsonb NOT NULL,
        uploaded_at timestamptz NOT NULL,
        CONSTRAINT one_time_keys_pkey PRIMARY KEY (user_id, device_id, algorithm, key_id),
        CONSTRAINT one_time_keys_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      );

      CREATE TABLE fallback_keys (
        user_id text NOT NULL,
        device_id text NOT NULL,
        algorithm text NOT NULL,
        key_id text NOT NULL,
        key jsonb NOT NULL,
        used boolean NOT NULL,
        uploaded_at timestamptz NOT NULL,
        CONSTRAINT fallback_keys_pkey PRIMARY KEY (user_id, device_id, algorithm),
        CONSTRAINT fallback_keys_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      );

      CREATE TABLE uia_sessions (
        session_id text NOT NULL,
        operation text NOT NULL,
        user_id text,
        parameters jsonb NOT NULL,
        completed jsonb NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT uia_sessions_pkey PRIMARY KEY (session_id)
      );
      CREATE INDEX uia_sessions_expiry_idx ON uia_sessions (expires_at);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE uia_sessions, fallback_keys, one_time_keys, device_keys, refresh_tokens, access_tokens, devices, accounts
    `);
  }
}
