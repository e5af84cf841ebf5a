import type { MigrationInterface, QueryRunner } from 'typeorm';

/** OAuth 2.0: clients, what they were granted, which sessions are theirs, and who is signed in on the pages. */
export class OAuth1764100000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE oauth_clients (
        client_id text NOT NULL,
        metadata jsonb NOT NULL,
        registered_at timestamptz NOT NULL,
        last_used_at timestamptz NOT NULL,
        CONSTRAINT oauth_clients_pkey PRIMARY KEY (client_id)
      );
      CREATE INDEX oauth_clients_last_used_idx ON oauth_clients (last_used_at);

      ALTER TABLE refresh_tokens
        ADD COLUMN oauth_client_id text,
        ADD COLUMN oauth_scope text,
        ADD COLUMN session_digest bytea,
        ADD CONSTRAINT refresh_tokens_client_fkey FOREIGN KEY (oauth_client_id) REFERENCES oauth_clients (client_id);
      CREATE INDEX refresh_tokens_client_idx ON refresh_tokens (oauth_client_id) WHERE oauth_client_id IS NOT NULL;
      ALTER TABLE access_tokens ADD COLUMN is_oauth boolean NOT NULL DEFAULT false;
      ALTER TABLE audit_entries ADD COLUMN client_id text;
      ALTER TABLE uia_sessions ADD COLUMN is_on_page boolean NOT NULL DEFAULT false;

      CREATE TABLE oauth_grants (
        user_id text NOT NULL,
        grant_digest bytea NOT NULL,
        client_id text NOT NULL,
        scope text NOT NULL,
        device_id text NOT NULL,
        redirect_uri text,
        code_challenge text,
        issued_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        used_at timestamptz,
        session_digest bytea,
        CONSTRAINT oauth_grants_pkey PRIMARY KEY (user_id, grant_digest),
        CONSTRAINT oauth_grants_user_fkey FOREIGN KEY (user_id) REFERENCES accounts (user_id) ON DELETE CASCADE,
        CONSTRAINT oauth_grants_client_fkey FOREIGN KEY (client_id) REFERENCES oauth_clients (client_id)
      );
      CREATE INDEX oauth_grants_expiry_idx ON oauth_grants (expires_at);
      CREATE INDEX oauth_grants_client_idx ON oauth_grants (client_id);

      CREATE TABLE oauth_device_grants (
        device_code_digest bytea NOT NULL,
        user_code text NOT NULL,
        client_id text NOT NULL,
        scope text NOT NULL,
        device_id text NOT NULL,
        state text NOT NULL,
        user_id text,
        address text NOT NULL,
        user_agent text,
        issued_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        interval_ms integer NOT NULL,
        polled_at timestamptz,
        CONSTRAINT oauth_device_grants_pkey PRIMARY KEY (device_code_digest),
        CONSTRAINT oauth_device_grants_client_fkey FOREIGN KEY (client_id) REFERENCES oauth_clients (client_id)
      );
      CREATE UNIQUE INDEX oauth_device_grants_code_idx ON oauth_device_grants (user_code);
      CREATE INDEX oauth_device_grants_expiry_idx ON oauth_device_grants (expires_at);
      CREATE INDEX oauth_device_grants_client_idx ON oauth_device_grants (client_id);

      CREATE TABLE browser_sessions (
        user_id text NOT NULL,
        session_digest bytea NOT NULL,
        created_at timestamptz NOT NULL,
        authenticated_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        address text,
        user_agent text,
        CONSTRAINT browser_sessions_pkey PRIMARY KEY (user_id, session_digest),
        CONSTRAINT browser_sessions_user_fkey FOREIGN KEY (user_id) REFERENCES accounts (user_id) ON DELETE CASCADE
      );
      CREATE INDEX browser_sessions_expiry_idx ON browser_sessions (expires_at);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE browser_sessions, oauth_device_grants, oauth_grants;
      ALTER TABLE uia_sessions DROP COLUMN is_on_page;
      ALTER TABLE audit_entries DROP COLUMN client_id;
      ALTER TABLE access_tokens DROP COLUMN is_oauth;
      ALTER TABLE refresh_tokens DROP COLUMN oauth_client_id, DROP COLUMN oauth_scope, DROP COLUMN session_digest;
      DROP TABLE oauth_clients;
    `);
  }
}
