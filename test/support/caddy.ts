import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { ProxyProgram } from './proxy-program.js';
import { freePort } from './service-process.js';

/** The Caddyfile of deploy/synapse, with other ports and without TLS. `CADDY` names the program. */
export class Caddy extends ProxyProgram {
  static async start(sessions: number, homeserver: number): Promise<Caddy> {
    const [directory, port] = [await temporaryDirectory(), await freePort()];
    const example = await readFile('deploy/synapse/Caddyfile', 'utf8');
    const adapted = example
      .replaceAll('127.0.0.1:8008', `127.0.0.1:${sessions}`)
      .replaceAll('127.0.0.1:8009', `127.0.0.1:${homeserver}`)
      .replace('matrix.example.org {', `http://127.0.0.1:${port} {\n\tbind 127.0.0.1`);
    const file = join(directory, 'Caddyfile');
    await writeFile(file, `{\n\tadmin off\n\tauto_https off\n}\n${adapted}`);
    const child = spawn(process.env['CADDY']!, ['run', '--config', file, '--adapter', 'caddyfile'], {
      env: { HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const caddy = new Caddy(child, directory, `http://127.0.0.1:${port}`);
    await vi.waitFor(() => fetch(caddy.url), { timeout: 10_000 });
    return caddy;
  }
}
