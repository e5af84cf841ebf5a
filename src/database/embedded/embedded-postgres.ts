import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { DatabaseLocation } from '../data-source.js';
import { type ServerAccount, serverAccount } from './server-account.js';
import {
  exists,
  give,
  moveUnlessThere,
  serverBinaries,
  serverHome,
  socketDirectory,
} from './server-files.js';

const PORT = 5432;
const USER = 'postgres';
/** After a crash, the previous server may need this long to finish, or the new one to replay its log. */
const PATIENCE_MS = 10_000;
/** How soon a server refuses connections after its Node has died. */
const STOPS_WITHIN_MS = 300;
/**
 * What a server logs if its directory is in use. Worth another try, because the other server may be about to stop.
 */
const HELD_BY_ANOTHER = /lock file "postmaster\.pid"|pre-existing shared memory/;

/**
 * Becomes the server (`exec`), and leaves a watcher behind that holds the other end of Node's pipe. When the pipe
 * closes, because Node stopped or was killed, the watcher stops the server within a second and removes its socket
 * directory. The watcher is forked twice, so that the server has no unknown child process.
 */
const SUPERVISE = `
postgres=$1; cluster=$2; sockets=$3; shift 3
( ( cat <&3
    mine() { [ "$(head -n 1 "$cluster/postmaster.pid" 2>/dev/null)" = "$$" ]; }
    mine && kill -INT $$ 2>/dev/null
    for wait in 1 2 3 4 5; do mine && sleep 0.1; done
    mine && kill -QUIT $$ 2>/dev/null
    rm -rf "$sockets" ) >/dev/null 2>&1 & )
exec 3<&-
exec "$postgres" -D "$cluster" -k "$sockets" "$@"
`;

/** Where and how an {@link EmbeddedPostgres} runs. */
export interface EmbeddedPostgresOptions {
  /** Where the data is kept; created if missing. */
  readonly dataDir: string;
  /** Server settings, such as `{ fsync: 'off' }` for data that need not survive a power cut. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * A real PostgreSQL that belongs to this process. It is reached only through a unix socket, and stops with the
 * process, however that ends. If it is started twice on one directory, the second user shares the first one's server.
 *
 * @example
 * ```ts
 * const embedded = await EmbeddedPostgres.start({ dataDir: './data' });
 * const app = await createApplication({ environment, database: embedded.location });
 * ```
 */
export class EmbeddedPostgres {
  /** @throws {Error} with the last lines of the server's log if it does not answer within ten seconds */
  static async start({ dataDir, settings = {} }: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
    if (process.platform === 'win32') {
      throw new Error('The embedded PostgreSQL runs on Linux and macOS: set DATABASE_URL, or use WSL');
    }
    const account = await serverAccount();
    const home = await serverHome(dataDir, account);
    const binaries = await serverBinaries(home, account);
    const cluster = join(home, 'postgres');
    if (!(await exists(cluster))) await createCluster(binaries, home, cluster, account);
    const log = join(home, 'postgres.log');

    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const sockets = await liveServer(cluster);
      if (sockets !== null) return new EmbeddedPostgres(home, sockets, null);
      const server = await launch({ binaries, cluster, log, account, settings });
      if (await answers(server, deadline)) return new EmbeddedPostgres(home, server.sockets, server.process);
      const words = (await readFile(log, 'utf8').catch(() => '')).slice(server.logStart);
      if (!HELD_BY_ANOTHER.test(words) || Date.now() > deadline)
        throw new Error(lastWords(cluster, log, words));
      await sleep(100);
    }
  }

  private isStopping = false;

  private constructor(
    /** Where the files are: the data directory, unless the server's account could not reach it. */
    readonly home: string,
    private readonly sockets: string,
    private readonly server: ChildProcess | null,
  ) {}

  /** Whether another process started the server; it then stops with that process. */
  get isShared(): boolean {
    return this.server === null;
  }

  get location(): DatabaseLocation {
    return { host: this.sockets, port: PORT, username: USER, database: 'postgres' };
  }

  /**
   * Registers `work` for the case that the server ends, although nobody has stopped it. It does not come back by
   * itself. A server that another process started is not watched.
   */
  whenLost(work: () => void): void {
    this.server?.once('exit', () => {
      if (!this.isStopping) work();
    });
  }

  /** Stops the server after its clients have left; a server that another process started is left alone. */
  async stop(): Promise<void> {
    this.isStopping = true;
    if (this.server === null || this.server.exitCode !== null || this.server.signalCode !== null) return;
    // A running server does not keep Node alive, but waiting for its end must.
    this.server.ref();
    const gone = once(this.server, 'exit');
    this.server.kill('SIGINT');
    await gone;
    pipeOf(this.server).destroy();
    await rm(this.sockets, { recursive: true, force: true });
  }
}

/** Fills a new directory and then renames it, so that a cluster exists completely or not at all. */
async function createCluster(
  binaries: string,
  home: string,
  cluster: string,
  account: ServerAccount | undefined,
): Promise<void> {
  const unfinished = await mkdtemp(join(home, 'initdb-'));
  await give(unfinished, account);
  const initdb = spawn(
    join(binaries, 'initdb'),
    ['-D', unfinished, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale=C'].concat([
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
    ]),
    { ...account, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let complaint = '';
  initdb.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const [code] = (await once(initdb, 'close')) as [number | null];
  if (code !== 0) {
    await rm(unfinished, { recursive: true, force: true });
    throw new Error(`initdb could not make the embedded database in ${home}: ${complaint.trim()}`);
  }
  await moveUnlessThere(unfinished, cluster);
}

/**
 * The socket directory of the server that runs on `cluster` and answers, if there is one. A server whose Node was just
 * killed may still answer while it begins to stop, so this asks twice.
 */
async function liveServer(cluster: string): Promise<string | null> {
  const SOCKET_LINE = 4;
  const lock = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '');
  const sockets = lock.split('\n')[SOCKET_LINE];
  if (!sockets || !(await isReady(sockets))) return null;
  await sleep(STOPS_WITHIN_MS);
  return (await isReady(sockets)) ? sockets : null;
}

interface Launched {
  readonly process: ChildProcess;
  readonly sockets: string;
  /** Where this server's part of the log begins. */
  readonly logStart: number;
}

async function launch(server: {
  binaries: string;
  cluster: string;
  log: string;
  account: ServerAccount | undefined;
  settings: Readonly<Record<string, string>>;
}): Promise<Launched> {
  const sockets = await socketDirectory(server.account);
  const settings = {
    listen_addresses: '',
    port: String(PORT),
    unix_socket_permissions: '0700',
    wal_compression: 'on',
    ...server.settings,
  };
  const output = await open(server.log, 'a');
  const { size: logStart } = await output.stat();
  const child = spawn(
    '/bin/sh',
    ['-c', SUPERVISE, 'sh', join(server.binaries, 'postgres'), server.cluster, sockets].concat(
      Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ),
    // The server has a session of its own, so that Ctrl-C reaches only Node, which finishes its work before the
    // server stops.
    { ...server.account, cwd: '/', detached: true, stdio: ['ignore', output.fd, output.fd, 'pipe'] },
  );
  await once(child, 'spawn');
  await output.close();
  child.unref();
  pipeOf(child).unref();
  return { process: child, sockets, logStart };
}

function lastWords(cluster: string, log: string, words: string): string {
  const tail = words.trim().split('\n').slice(-5).join('\n');
  return `The embedded PostgreSQL in ${cluster} does not start. It says, in ${log}:\n${tail}`;
}

/** Waits until the server answers; `false` if it ended first, as it does while another one holds the directory. */
async function answers({ process: server, sockets }: Launched, deadline: number): Promise<boolean> {
  while (server.exitCode === null && server.signalCode === null) {
    if (await isReady(sockets)) return true;
    if (Date.now() > deadline) {
      pipeOf(server).destroy();
      return false;
    }
    await sleep(20);
  }
  pipeOf(server).destroy();
  return false;
}

async function isReady(sockets: string): Promise<boolean> {
  const address = { host: sockets, port: PORT, user: USER, database: 'postgres' };
  const client = new Client({ ...address, connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

function pipeOf(child: ChildProcess) {
  return child.stdio[3] as import('node:net').Socket;
}
