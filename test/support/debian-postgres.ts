import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { type ServerAccount, serverAccount } from '../../src/database/embedded/server-account.js';
import { give } from '../../src/database/embedded/server-files.js';
import { execute, type TestDatabase, temporaryDirectory } from '../../src/testing/test-postgres.js';
import { freePort } from './service-process.js';

const run = promisify(execFile);

/** A PostgreSQL with `pg_dump` and `pg_restore`, from the folder that `POSTGRES_BIN` names. */
export class DebianPostgres {
  static async start(): Promise<DebianPostgres> {
    const [directory, account] = [await temporaryDirectory(), await serverAccount()];
    // `initdb` wants a directory of its own.
    const cluster = await mkdtemp(join(directory, 'cluster-'));
    await give(cluster, account);
    const server = new DebianPostgres(directory, cluster, account, await freePort());
    await server.asServer(
      'initdb',
      '-D',
      cluster,
      '-U',
      'postgres',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--locale=C',
    );
    const options = `-k ${cluster} -h 127.0.0.1 -p ${server.port} -c fsync=off -c max_connections=100`;
    await server.asServer('pg_ctl', '-D', cluster, '-w', '-l', join(cluster, 'log'), '-o', options, 'start');
    return server;
  }

  private constructor(
    private readonly directory: string,
    private readonly cluster: string,
    private readonly account: ServerAccount | undefined,
    private readonly port: number,
  ) {}

  /** A new database without tables. */
  async createDatabase(name: string): Promise<TestDatabase> {
    await execute({ url: this.url('postgres') }, `CREATE DATABASE ${name}`);
    return { location: { url: this.url(name) }, drop: async () => {} };
  }

  url(database: string): string {
    return `postgresql://postgres@127.0.0.1:${this.port}/${database}`;
  }

  /** A path for a file that the tests may write. */
  file(name: string): string {
    return join(this.directory, name);
  }

  async connect(database: string): Promise<Client> {
    const client = new Client({ connectionString: this.url(database) });
    await client.connect();
    return client;
  }

  /** Runs one of the client programs, and returns its output. It throws unless the program ends with 0. */
  async program(name: 'pg_dump' | 'pg_restore' | 'psql', ...args: string[]): Promise<string> {
    return (await run(programPath(name), args)).stdout;
  }

  /** Starts one of the client programs. */
  begin(
    name: 'pg_dump',
    ...args: string[]
  ): { readonly child: ChildProcess; readonly ended: Promise<number> } {
    const child = execFile(programPath(name), args);
    return { child, ended: once(child, 'exit').then(([code]) => code as number) };
  }

  async stop(): Promise<void> {
    await this.asServer('pg_ctl', '-D', this.cluster, '-w', '-m', 'immediate', 'stop');
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  private async asServer(name: string, ...args: string[]): Promise<void> {
    await run(programPath(name), args, { ...this.account, cwd: '/' });
  }
}

function programPath(name: string): string {
  return join(process.env['POSTGRES_BIN']!, name);
}
