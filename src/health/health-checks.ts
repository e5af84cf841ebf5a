import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Environment } from '../config/environment.js';
import type { Statement } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { OutboxService } from '../outbox/outbox.service.js';

const LOOK: Statement = {
  name: 'health_look',
  text: `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS "onlyReads"`,
};
const MIGRATIONS: Statement = {
  name: 'health_migrations',
  text: 'SELECT name FROM schema_migrations WHERE name = ANY ($1::text[])',
};

/** What is looked at; throws what is wrong. */
type Check = () => Promise<Record<string, number> | void>;

/** What a node needs to serve requests. */
@Injectable()
export class HealthChecks {
  /** By name. */
  readonly all: ReadonlyMap<string, Check>;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly dataSource: DataSource,
    private readonly outbox: OutboxService,
    environment: Environment,
  ) {
    const most = environment.readyMaxLagMs;
    this.all = new Map<string, Check>([
      ['database', () => this.database()],
      ['schema', () => this.schema()],
      ...(most === null ? [] : [['deliveries', () => this.deliveries(most)] as const]),
    ]);
  }

  private async database(): Promise<void> {
    const [state] = await this.unitOfWork.query<{ onlyReads: boolean }>(LOOK);
    if (state!.onlyReads) throw new Error('The database only reads');
  }

  /** A newer schema is no fault: nodes of the next version bring it while those of this one still serve. */
  private async schema(): Promise<void> {
    const own = this.dataSource.migrations.map(({ name, constructor }) => name ?? constructor.name);
    const rows = await this.unitOfWork.query<{ name: string }>(MIGRATIONS, [own]);
    const known = new Set(rows.map(({ name }) => name));
    const missing = own.filter((name) => !known.has(name));
    if (missing.length > 0) throw new Error(`The schema is older than this node: ${missing.join(', ')}`);
  }

  private async deliveries(mostMs: number): Promise<Record<string, number>> {
    const lagMs = await this.outbox.longestLagMs();
    if (lagMs > mostMs) throw new Error(`An event has waited for ${lagMs} ms`);
    return { lagMs };
  }
}
