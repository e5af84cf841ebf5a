import { execFile } from 'node:child_process';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { EmbeddedPostgres } from '../../src/database/embedded/embedded-postgres.js';
import { type ServerAccount, serverAccount } from '../../src/database/embedded/server-account.js';
import { serverBinaries } from '../../src/database/embedded/server-files.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { freePort } from './service-process.js';

const run = promisify(execFile);

interface Running {
  readonly pid: number;
  readonly parent: number;
}

/** All processes of the machine, without those that have ended and that nobody has asked about yet. */
async function running(): Promise<Running[]> {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=,stat=']);
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , state]) => state !== undefined && !state.startsWith('Z'))
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }));
}

type Settings = Readonly<Record<string, string>>;

/** A separate PostgreSQL on loopback, which the test can restart, kill, freeze and limit in its connections. */
export class OwnPostgres {
  static async start(settings: Settings = {}, directory?: string): Promise<OwnPostgres> {
    const place = directory ?? (await temporaryDirectory());
    // Creates the cluster.
    const embedded = await EmbeddedPostgres.start({ dataDir: join(place, 'data') });
    const { home } = embedded;
    await embedded.stop();
    const account = await serverAccount();
    const [binaries, port] = await Promise.all([serverBinaries(home, account), freePort()]);
    const server = new OwnPostgres(place, join(home, 'postgres'), binaries, account, port, settings);
    await server.resume();
    return server;
  }

  private constructor(
    private readonly directory: string,
    private readonly cluster: string,
    private readonly binaries: string,
    private readonly account: ServerAccount | undefined,
    readonly port: number,
    private readonly settings: Settings,
  ) {}

  get url(): string {
    return `postgresql://postgres@127.0.0.1:${this.port}/postgres`;
  }

  async client(): Promise<Client> {
    const client = new Client({ connectionString: this.url });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  /** Runs one statement on a connection of its own. */
  async execute<Row>(sql: string): Promise<Row[]> {
    const client = await this.client();
    try {
      return (await client.query(sql)).rows as Row[];
    } finally {
      await client.end();
    }
  }

  /** Restarts the server. Clients are disconnected, and can reconnect at once or a moment later. */
  restart(): Promise<void> {
    return this.control('restart', '-m', 'fast');
  }

  halt(): Promise<void> {
    return this.control('stop', '-m', 'immediate');
  }

  resume(): Promise<void> {
    const settings = {
      fsync: 'off',
      listen_addresses: '127.0.0.1',
      port: String(this.port),
      unix_socket_directories: '',
      ...this.settings,
    };
    const options = Object.entries(settings).map(([name, value]) => `-c '${name}=${value}'`);
    return this.control('start', '-o', options.join(' '));
  }

  /** SIGKILL for the server and all its backends. */
  async kill(): Promise<void> {
    const processes = await this.signal('SIGKILL');
    // The next one cannot start while one of them still has the shared memory.
    while ((await running()).some(({ pid }) => processes.includes(pid))) await sleep(10);
    // Until somebody has asked how it ended, its process ID is taken, and the next one would not start beside it.
    await rm(join(this.cluster, 'postmaster.pid'));
  }

  /** SIGKILL for one backend of a client. The server then ends all others, and recovers. */
  async killBackend(): Promise<void> {
    const [backend] = await this.execute<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'matrix-session-service' ORDER BY random() LIMIT 1`,
    );
    if (backend !== undefined) process.kill(backend.pid, 'SIGKILL');
  }

  /** A standby that follows this server, which must still be without connections. It is not in any backup. */
  async standby(): Promise<OwnPostgres> {
    const directory = await temporaryDirectory();
    const cluster = join(directory, 'postgres');
    await this.control('stop', '-m', 'fast');
    await cp(this.cluster, cluster, { recursive: true, preserveTimestamps: true });
    await writeFile(join(cluster, 'standby.signal'), '');
    if (this.account !== undefined)
      await run('chown', ['-R', `${this.account.uid}:${this.account.gid}`, cluster]);
    await this.resume();
    const port = await freePort();
    const settings = {
      primary_conninfo: `host=127.0.0.1 port=${this.port} user=postgres application_name=standby`,
    };
    const standby = new OwnPostgres(directory, cluster, this.binaries, this.account, port, settings);
    await standby.resume();
    return standby;
  }

  promote(): Promise<void> {
    return this.control('promote');
  }

  /** Stops the server and all its backends with their connections open. */
  async freeze(): Promise<void> {
    await this.signal('SIGSTOP');
  }

  async thaw(): Promise<void> {
    await this.signal('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.thaw().catch(() => {});
    await this.halt().catch(() => {});
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  /** @returns the processes that got it */
  private async signal(signal: NodeJS.Signals): Promise<number[]> {
    const [first] = (await readFile(join(this.cluster, 'postmaster.pid'), 'utf8')).split('\n');
    const postmaster = Number(first);
    // It must not start another backend meanwhile.
    process.kill(postmaster, 'SIGSTOP');
    const backends = (await running()).filter(({ parent }) => parent === postmaster).map(({ pid }) => pid);
    const processes = [postmaster, ...backends];
    for (const pid of processes) {
      try {
        process.kill(pid, signal);
      } catch {
        // The backend has just ended.
      }
    }
    return processes;
  }

  private async control(...args: string[]): Promise<void> {
    const log = join(this.cluster, 'control.log');
    try {
      await run(join(this.binaries, 'pg_ctl'), ['-D', this.cluster, '-w', '-l', log, ...args], {
        ...this.account,
        cwd: '/',
      });
    } catch (error) {
      throw new Error(`${String(error)}\n${(await readFile(log, 'utf8')).slice(-2_000)}`, { cause: error });
    }
  }
}
