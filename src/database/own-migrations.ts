import type { MigrationInterface } from 'typeorm';
import { InitialSchema1763900000000 } from './migrations/1763900000000-initial-schema.js';
import { SessionLife1763950000000 } from './migrations/1763950000000-session-life.js';
import { DevicesAndKeys1763990000000 } from './migrations/1763990000000-devices-and-keys.js';
import { Outbox1764010000000 } from './migrations/1764010000000-outbox.js';
import { Audit1764020000000 } from './migrations/1764020000000-audit.js';
import { EventSubscriptions1764030000000 } from './migrations/1764030000000-event-subscriptions.js';
import { AuditActor1764040000000 } from './migrations/1764040000000-audit-actor.js';
import { ReconcilerRounds1764050000000 } from './migrations/1764050000000-reconciler-rounds.js';
import { Bounds1764060000000 } from './migrations/1764060000000-bounds.js';
import { SecondThoughts1764070000000 } from './migrations/1764070000000-second-thoughts.js';
import { SessionsByUser1764080000000 } from './migrations/1764080000000-sessions-by-user.js';
import { Homeserver1764090000000 } from './migrations/1764090000000-homeserver.js';
import { OAuth1764100000000 } from './migrations/1764100000000-oauth.js';
import { Administration1764120000000 } from './migrations/1764120000000-administration.js';
import { Traces1764130000000 } from './migrations/1764130000000-traces.js';

/** A TypeORM migration. */
export type MigrationClass = new () => MigrationInterface;

/** The service's own migrations, in order. */
export const migrations: readonly MigrationClass[] = [
  InitialSchema1763900000000,
  SessionLife1763950000000,
  DevicesAndKeys1763990000000,
  Outbox1764010000000,
  Audit1764020000000,
  EventSubscriptions1764030000000,
  AuditActor1764040000000,
  ReconcilerRounds1764050000000,
  Bounds1764060000000,
  SecondThoughts1764070000000,
  SessionsByUser1764080000000,
  Homeserver1764090000000,
  OAuth1764100000000,
  Administration1764120000000,
  Traces1764130000000,
];
