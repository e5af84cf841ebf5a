import type { ClientBase } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { PostgresQueryRunner } from 'typeorm/driver/postgres/PostgresQueryRunner.js';

/**
 * TypeORM on a connection whose transaction has already begun, so that an entity manager does not begin another, and
 * nested transactions become savepoints.
 */
export class TransactionQueryRunner extends PostgresQueryRunner {
  override isTransactionActive = true;
  protected override transactionDepth = 1;
  override readonly manager: EntityManager;

  private readonly client: ClientBase;

  constructor(dataSource: DataSource, client: ClientBase, onFailure: (error: unknown) => void) {
    super(dataSource.driver as PostgresDriver, 'master');
    this.manager = dataSource.createEntityManager(this);
    this.client = watched(client, onFailure);
  }

  override connect(): Promise<unknown> {
    return Promise.resolve(this.client);
  }
}

/**
 * Wraps the connection to report failing queries at once. TypeORM reports an error only some microtasks later, when
 * later statements have already reported theirs.
 */
function watched(client: ClientBase, onFailure: (error: unknown) => void): ClientBase {
  return Object.create(client, {
    query: {
      value: (...query: Parameters<ClientBase['query']>): unknown => {
        const running: unknown = client.query(...query);
        if (running instanceof Promise) running.catch(onFailure);
        return running;
      },
    },
  }) as ClientBase;
}
