import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What challenges remember, refresh tokens that were just retired, and an index of signatures over other users by
 * signer.
 */
export class SecondThoughts1764070000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX key_signatures_signer_idx ON key_signatures (signer_user_id) WHERE signer_user_id <> user_id;
      ALTER TABLE uia_sessions ADD secret text, ADD proven jsonb, ADD result jsonb;
      ALTER TABLE refresh_tokens
        ADD retired_digests bytea[] NOT NULL DEFAULT '{}',
        ADD retired_at timestamptz[] NOT NULL DEFAULT '{}';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX key_signatures_signer_idx;
      ALTER TABLE uia_sessions DROP secret, DROP proven, DROP result;
      ALTER TABLE refresh_tokens DROP retired_digests, DROP retired_at;
    `);
  }
}
