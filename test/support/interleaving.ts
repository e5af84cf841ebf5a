import {
  Injectable,
  Module,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import type { Request } from 'express';
import { Client } from 'pg';
import { vi } from 'vitest';
import { InTransaction, SessionStarted } from '../../src/index.js';
import { clientOptions } from '../../src/testing/test-postgres.js';
import type { TestApp } from './test-app.js';

/** A gate at which requests wait while it is closed. */
export class Gate {
  private opened: Promise<void> = Promise.resolve();
  private letThrough: () => void = () => {};
  waiting = 0;

  close(): void {
    this.opened = new Promise((resolve) => (this.letThrough = resolve));
  }

  open(): void {
    this.letThrough();
  }

  async pass(): Promise<void> {
    this.waiting += 1;
    await this.opened;
    this.waiting -= 1;
  }

  /** Resolves when a request waits. */
  async isReached(): Promise<void> {
    await until(() => this.waiting === 1);
  }
}

/** Between the guard and the handler of a key upload. */
export const afterGuard = new Gate();
/** In a login's transaction, after its account and its device are locked. */
export const inLogin = new Gate();

@Injectable()
class AfterGuard implements NestInterceptor {
  async intercept(context: ExecutionContext, next: CallHandler) {
    if (context.switchToHttp().getRequest<Request>().path.endsWith('/keys/upload')) await afterGuard.pass();
    return next.handle();
  }
}

@Injectable()
class InLogin {
  @InTransaction(SessionStarted)
  async onSessionStarted(): Promise<void> {
    await inLogin.pass();
  }
}

/** Puts the gates into a service under test. */
@Module({ providers: [InLogin, { provide: APP_INTERCEPTOR, useClass: AfterGuard }] })
export class GatesModule {}

/** A transaction outside the service, in which a test holds locks while requests queue up behind them. */
export class Bystander {
  static async begin({ database }: TestApp): Promise<Bystander> {
    const client = new Client(clientOptions(database.location));
    await client.connect();
    await client.query('BEGIN');
    return new Bystander(client);
  }

  private constructor(private readonly client: Client) {}

  async run(text: string, values: unknown[] = []): Promise<void> {
    await this.client.query(text, values);
  }

  async commit(): Promise<void> {
    await this.client.query('COMMIT');
    await this.client.end();
  }
}

/**
 * Resolves when this many connections of the service wait for a lock, and have waited for longer than a shared
 * transaction waits before it gives up.
 */
export async function lockWaiters(app: TestApp, count: number): Promise<void> {
  const waiting = () =>
    app.sql(`
      SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'matrix-session-service' AND wait_event_type = 'Lock'
        AND clock_timestamp() - query_start > interval '60 ms'`);
  await until(async () => (await waiting()).length === count);
}

/** Polls a condition, and fails if it never becomes true. */
async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const look = async () => {
    if (!(await isTrue())) throw new Error('What the test waits for has not happened');
  };
  await vi.waitFor(look, { timeout: 5_000, interval: 5 });
}
