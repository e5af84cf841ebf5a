import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import request from 'supertest';
import { parse } from 'yaml';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';

/** How it finds the service, and the port that it listens on. */
export interface SynapseOptions {
  /** `null`: it has its own sessions. */
  readonly endpoint: string | null;
  readonly secret: string;
  readonly port: number;
  /** More of its configuration. */
  readonly more?: object;
}

/** The part of the configuration that the repository shows. */
interface Shown {
  readonly listeners: readonly object[];
  readonly matrix_authentication_service: object;
}

const RATE = { per_second: 10_000, burst_count: 10_000 };
const NO_LIMITS = {
  rc_message: RATE,
  rc_joins: { local: RATE, remote: RATE },
  rc_invites: { per_room: RATE, per_user: RATE, per_issuer: RATE },
};

/** A real Synapse, on SQLite unless told otherwise. `SYNAPSE` names the Python that has it installed. */
export class Synapse {
  static async start({ endpoint, secret, port, more = {} }: SynapseOptions): Promise<Synapse> {
    const directory = await temporaryDirectory();
    const config = join(directory, 'homeserver.yaml');
    const secretFile = join(directory, 'secret');
    await writeFile(secretFile, secret);
    const example = await readFile('deploy/synapse/homeserver.yaml', 'utf8');
    const shown = parse(example) as Shown;
    // JSON is YAML.
    await writeFile(
      config,
      JSON.stringify({
        server_name: 'localhost',
        listeners: shown.listeners.map((listener) => ({ ...listener, port })),
        database: { name: 'sqlite3', args: { database: join(directory, 'homeserver.db') } },
        signing_key_path: join(directory, 'signing.key'),
        media_store_path: join(directory, 'media'),
        pid_file: join(directory, 'synapse.pid'),
        macaroon_secret_key: secret,
        form_secret: secret,
        report_stats: false,
        trusted_key_servers: [],
        log_config: join(directory, 'log.yaml'),
        ...(endpoint === null
          ? {}
          : {
              matrix_authentication_service: {
                ...shown.matrix_authentication_service,
                endpoint,
                secret_path: secretFile,
              },
            }),
        // As many requests as the tests like.
        ...NO_LIMITS,
        ...more,
      }),
    );
    await writeFile(join(directory, 'log.yaml'), JSON.stringify({ version: 1, root: { level: 'ERROR' } }));
    const args = ['-m', 'synapse.app.homeserver', '-c', config];
    await promisify(execFile)(process.env['SYNAPSE']!, [...args, '--generate-keys'], { cwd: directory });
    const child = spawn(process.env['SYNAPSE']!, args, { cwd: directory, stdio: 'inherit' });
    const synapse = new Synapse(child, directory, `http://127.0.0.1:${port}`, secret);
    const deadline = Date.now() + 60_000;
    while (!(await synapse.isUp())) {
      if (Date.now() > deadline) throw new Error('Synapse does not start');
      await sleep(200);
    }
    return synapse;
  }

  private constructor(
    private readonly child: ChildProcess,
    private readonly directory: string,
    readonly url: string,
    private readonly secret: string,
  ) {}

  private isUp(): Promise<boolean> {
    return fetch(`${this.url}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  get http(): ReturnType<typeof request> {
    return request(this.url);
  }

  /** A request to Synapse with somebody's access token. */
  as({ accessToken }: Pick<ClientSession, 'accessToken'>, method: 'get' | 'post' | 'put', path: string) {
    return this.http[method](path).auth(accessToken, { type: 'bearer' });
  }

  /** What only the authentication service may call: `/_synapse/mas/…`. */
  tell(call: string, body: object) {
    return this.http.post(`/_synapse/mas/${call}`).auth(this.secret, { type: 'bearer' }).send(body);
  }

  ask(path: string) {
    return this.http.get(path).auth(this.secret, { type: 'bearer' });
  }

  /** Stops its process where it is: it takes connections, and answers nothing. */
  pause(): void {
    this.child.kill('SIGSTOP');
  }

  /** Lets it go on with everything that has come meanwhile. */
  resume(): void {
    this.child.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    if (this.child.exitCode === null) await once(this.child, 'exit');
    await rm(this.directory, { recursive: true, force: true });
  }
}
