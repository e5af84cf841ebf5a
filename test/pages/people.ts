import { expect } from 'vitest';
import { PASSWORD } from '../../src/testing/index.js';
import type { TestApp } from '../support/test-app.js';
import { Visitor } from '../support/visitor.js';

/** A browser in which the user is signed in. */
export async function signedIn(
  app: TestApp,
  user: string,
  headers: Record<string, string> = {},
  password = PASSWORD,
): Promise<Visitor> {
  const visitor = new Visitor(app, headers);
  expect((await visitor.signIn(user, password)).status).toBe(200);
  return visitor;
}

/** Whether somebody is signed in in the browser. */
export async function isIn(visitor: Visitor): Promise<boolean> {
  return (await visitor.get('/account')).status === 200;
}

/** A browser that has the cookie of another one at this moment. */
export function thiefOf(app: TestApp, visitor: Visitor): Visitor {
  const thief = new Visitor(app);
  thief.setCookie('__Host-session', visitor.cookie('__Host-session')!);
  return thief;
}

/** How many browsers the user is signed in in. */
export async function browsersOf(app: TestApp, userId: string): Promise<number> {
  return (await app.sql('SELECT FROM browser_sessions WHERE user_id = $1', [userId])).length;
}

/** An entry of the audit. */
export interface Entry {
  readonly action: string;
  readonly reason: string | null;
  readonly operation: string | null;
  readonly device_id: string | null;
  readonly client_id: string | null;
}

/** The audit of a user, the oldest entry first. */
export function auditOf(app: TestApp, userId: string, action?: string): Promise<Entry[]> {
  return app.sql<Entry>(
    `SELECT action, reason, operation, device_id, client_id FROM audit_entries
     WHERE user_id = $1 AND action = COALESCE($2, action) ORDER BY at, entry_id`,
    [userId, action],
  );
}
