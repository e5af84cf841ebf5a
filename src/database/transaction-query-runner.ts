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

  constructor(
    dataSource: DataSource,
    private readonly client: ClientBase,
  ) {
    super(dataSource.driver as PostgresDriver, 'master');
    this.manager = dataSource.createEntityManager(this);
  }

  override connect(): Promise<unknown> {
    return Promise.resolve(this.client);
  }
}
