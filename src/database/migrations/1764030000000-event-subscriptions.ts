import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Each event of a subscriber has a row of its own, so that nodes of different versions do not overwrite each other. */
export class EventSubscriptions1764030000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE event_subscriptions (
        subscriber text NOT NULL,
        event text NOT NULL,
        seen_at timestamptz NOT NULL,
        CONSTRAINT event_subscriptions_pkey PRIMARY KEY (subscriber, event)
      );
      INSERT INTO event_subscriptions (subscriber, event, seen_at)
        SELECT DISTINCT name, unnest(events), seen_at FROM event_subscribers;
      DROP TABLE event_subscribers;
      CREATE INDEX event_deliveries_leased_idx ON event_deliveries (user_id, subscriber) WHERE lease IS NOT NULL;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX event_deliveries_leased_idx;
      CREATE TABLE event_subscribers (
        name text NOT NULL,
        events text[] NOT NULL,
        seen_at timestamptz NOT NULL,
        CONSTRAINT event_subscribers_pkey PRIMARY KEY (name)
      );
      INSERT INTO event_subscribers (name, events, seen_at)
        SELECT subscriber, array_agg(event ORDER BY event), max(seen_at) FROM event_subscriptions GROUP BY subscriber;
      DROP TABLE event_subscriptions;
    `);
  }
}
