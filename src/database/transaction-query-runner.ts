import type { ClientBase } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { PostgresQueryRunner } from 'typeorm/driver/postgres/PostgresQueryRunner.js';

/**
 * TypeORM on a connection whose transaction has begun already, so that an entity manager begins none of its own, and
 * what it nests becomes a savepoint.
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
 * The connection, with a look at the queries that fail: TypeORM tells of an error some turns of the microtask queue
 * later, when statements behind it have told of theirs.
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
