import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Events to be delivered to subscribers after a commit. */
export class Outbox1764010000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE event_subscribers (
        name text NOT NULL,
        events text[] NOT NULL,
        seen_at timestamptz NOT NULL,
        CONSTRAINT event_subscribers_pkey PRIMARY KEY (name)
      );

      CREATE TABLE event_deliveries (
        user_id text NOT NULL,
        subscriber text NOT NULL,
        position bigint NOT NULL,
        ordinal integer NOT NULL,
        event_id text NOT NULL,
        event text NOT NULL,
        payload jsonb NOT NULL,
        occurred_at timestamptz NOT NULL,
        state text NOT NULL,
        attempts integer NOT NULL,
        next_attempt_at timestamptz NOT NULL,
        lease text,
        settled_at timestamptz,
        last_error text,
        CONSTRAINT event_deliveries_pkey PRIMARY KEY (user_id, subscriber, position, ordinal, event_id)
      );
      CREATE INDEX event_deliveries_due_idx ON event_deliveries (subscriber, next_attempt_at)
        WHERE state = 'pending';
      CREATE INDEX event_deliveries_waiting_idx ON event_deliveries (user_id, subscriber, position, ordinal)
        WHERE state = 'pending';
      CREATE INDEX event_deliveries_settled_idx ON event_deliveries (state, settled_at)
        WHERE state <> 'pending';
      CREATE INDEX event_deliveries_event_idx ON event_deliveries (event_id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE event_deliveries, event_subscribers');
  }
}
