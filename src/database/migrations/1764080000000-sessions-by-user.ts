import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Authentication sessions are keyed by user, as every other row of a user is. A session of nobody, such as that of a
 * registration, has its own ID for a user. One command a query: a distributed PostgreSQL takes no more.
 */
export class SessionsByUser1764080000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('UPDATE uia_sessions SET user_id = session_id WHERE user_id IS NULL');
    await runner.query('ALTER TABLE uia_sessions ALTER user_id SET NOT NULL');
    await runner.query('ALTER TABLE uia_sessions DROP CONSTRAINT uia_sessions_pkey');
    await runner.query(
      'ALTER TABLE uia_sessions ADD CONSTRAINT uia_sessions_pkey PRIMARY KEY (user_id, session_id)',
    );
    await runner.query('CREATE INDEX uia_sessions_session_idx ON uia_sessions (session_id)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX uia_sessions_session_idx');
    await runner.query('ALTER TABLE uia_sessions DROP CONSTRAINT uia_sessions_pkey');
    await runner.query('ALTER TABLE uia_sessions ADD CONSTRAINT uia_sessions_pkey PRIMARY KEY (session_id)');
    await runner.query('ALTER TABLE uia_sessions ALTER user_id DROP NOT NULL');
    await runner.query('UPDATE uia_sessions SET user_id = NULL WHERE user_id = session_id');
  }
}
