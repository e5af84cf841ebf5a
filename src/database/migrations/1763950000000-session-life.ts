import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Kinds and states of accounts, login tokens, and the counters that rate limits share between nodes. */
export class SessionLife1763950000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE accounts
        ADD kind text NOT NULL DEFAULT 'user',
        ADD deactivated_at timestamptz,
        ADD locked_at timestamptz,
        ADD suspended_at timestamptz;

      CREATE TABLE session_families (
        user_id text NOT NULL,
        family bytea NOT NULL,
        device_id text NOT NULL,
        started_at timestamptz NOT NULL,
        CONSTRAINT session_families_pkey PRIMARY KEY (user_id, family),
        CONSTRAINT session_families_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      );
      CREATE INDEX session_families_device_idx ON session_families (user_id, device_id);

      CREATE TABLE login_tokens (
        user_id text NOT NULL,
        token_digest bytea NOT NULL,
        device_id text NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT login_tokens_pkey PRIMARY KEY (user_id, token_digest),
        CONSTRAINT login_tokens_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE
      );
      CREATE INDEX login_tokens_device_idx ON login_tokens (user_id, device_id);

      ALTER TABLE refresh_tokens ADD superseded_digest bytea;

      ALTER TABLE uia_sessions
        ADD device_id text,
        ADD CONSTRAINT uia_sessions_device_fkey FOREIGN KEY (user_id, device_id)
          REFERENCES devices (user_id, device_id) ON DELETE CASCADE;
      CREATE INDEX uia_sessions_device_idx ON uia_sessions (user_id, device_id);

      CREATE TABLE rate_limits (
        key varchar(255) NOT NULL,
        points integer NOT NULL,
        expire bigint,
        CONSTRAINT rate_limits_pkey PRIMARY KEY (key)
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE rate_limits, login_tokens, session_families;
      ALTER TABLE refresh_tokens DROP superseded_digest;
      ALTER TABLE uia_sessions DROP device_id;
      ALTER TABLE accounts DROP kind, DROP deactivated_at, DROP locked_at, DROP suspended_at;
    `);
  }
}
