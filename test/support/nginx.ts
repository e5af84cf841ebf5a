import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { ProxyProgram } from './proxy-program.js';
import { freePort } from './service-process.js';

/** An nginx configuration that the repository shows, with other ports and without TLS, for any number of nodes. */
export class Nginx extends ProxyProgram {
  static async start(
    sessions: readonly number[],
    homeserver: number,
    shown: 'docs/proxy/nginx.conf' | 'deploy/synapse/nginx.conf' = 'docs/proxy/nginx.conf',
  ): Promise<Nginx> {
    const directory = await temporaryDirectory();
    const port = await freePort();
    const example = await readFile(new URL(`../../${shown}`, import.meta.url), 'utf8');
    const nodes = sessions.map((node) => `server 127.0.0.1:${node} max_fails=0;`).join('\n    ');
    const adapted = example
      .replace('server 127.0.0.1:8008 max_fails=0;', nodes)
      .replace('127.0.0.1:8009', `127.0.0.1:${homeserver}`)
      .replace('listen 443 ssl', `listen 127.0.0.1:${port}`)
      .replace(/^ *ssl_.*\n/gm, '');
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${join(directory, name)};`,
    );
    const errorLog = join(directory, 'error.log');
    const file = join(directory, 'nginx.conf');
    await writeFile(
      file,
      `
      daemon off;
      worker_processes 1;
      pid ${join(directory, 'nginx.pid')};
      error_log ${errorLog};
      events {}
      http { access_log off; ${temporary.join('\n')} ${adapted} }`,
    );
    const child = spawn(process.env['NGINX']!, ['-p', directory, '-c', file, '-e', errorLog]);
    const nginx = new Nginx(child, directory, `http://127.0.0.1:${port}`);
    await vi.waitFor(() => fetch(nginx.url), { timeout: 5_000 });
    return nginx;
  }
}
