import type { Socket } from 'node:net';
import type pg from 'pg';
import { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { describe, expect, it } from 'vitest';
import { UnitOfWork } from '../../src/index.js';
import { useApp } from '../support/test-app.js';

const app = useApp({ variables: { DATABASE_POOL_SIZE: '2' } });
const unitOfWork = () => app().nest.get(UnitOfWork);
const pool = () => (app().nest.get(DataSource).driver as PostgresDriver).master as pg.Pool;
const ONE = { name: 'test_one', text: 'SELECT 1 AS one' };

/** "terminating connection due to administrator command", as PostgreSQL says it. */
const FATAL = (() => {
  const fields = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0');
  const header = Buffer.alloc(5);
  header.write('E');
  header.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([header, fields]);
})();

const READY_FOR_QUERY = 'Z'.charCodeAt(0);
const READY_LENGTH = 6;

/**
 * Makes the backend's fatal error arrive in one chunk with the end of its next answer, as happens when the backend is
 * terminated at that moment.
 */
function dieWithNextAnswer(client: pg.PoolClient): void {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  const emit = stream.emit.bind(stream) as (...args: unknown[]) => boolean;
  stream.emit = ((event: string, ...args: unknown[]) => {
    const [chunk] = args;
    const isEnd = Buffer.isBuffer(chunk) && chunk.at(-READY_LENGTH) === READY_FOR_QUERY;
    if (event !== 'data' || !isEnd) return emit(event, ...args);
    stream.emit = emit as typeof stream.emit;
    const isTaken = emit('data', Buffer.concat([chunk, FATAL]));
    stream.destroy();
    return isTaken;
  }) as typeof stream.emit;
}

describe('A connection of the pool', () => {
  it('may die between two uses: the process survives, and the second use gets another connection', async () => {
    const strays: unknown[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException').on('uncaughtException', (error) => strays.push(error));
    try {
      const [held, dying] = await Promise.all([pool().connect(), pool().connect()]);
      dieWithNextAnswer(dying);
      dying.release();
      const answer = pool().query('SELECT 1');
      // Waits for the connection that answers, and gets it while the chunk is processed.
      const waiting = unitOfWork().run((tx) => tx.query(ONE));
      await answer;
      expect(await waiting).toEqual([{ one: 1 }]);
      held.release();
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(strays).toEqual([]);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });
});
