import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { temporaryDirectory } from '../../../src/testing/test-postgres.js';

interface Posted {
  readonly type: string;
  readonly data: {
    readonly user_id: string;
    readonly device_id?: string;
    readonly devices?: readonly { readonly user_id: string; readonly device_id: string }[];
  };
}

/** Another system that hears by webhook which devices begin and end. */
export class Listener {
  static async start(): Promise<Listener> {
    const listener: Listener = new Listener(
      createServer((incoming, response) => {
        let body = '';
        incoming.on('data', (chunk: Buffer) => (body += chunk.toString()));
        incoming.on('end', () => {
          listener.hear(JSON.parse(body) as Posted);
          response.end();
        });
      }).listen(0, '127.0.0.1'),
    );
    await once(listener.server, 'listening');
    const url = `http://127.0.0.1:${(listener.server.address() as AddressInfo).port}/`;
    listener.directory = await temporaryDirectory();
    const events = ['session.started', 'devices.deleted'];
    await writeFile(listener.file, JSON.stringify({ webhooks: [{ name: 'listener', url, events }] }));
    return listener;
  }

  /** "user device", at least once for each event. */
  readonly began = new Set<string>();
  readonly ended = new Set<string>();
  private directory = '';

  private constructor(private readonly server: Server) {}

  /** What makes a service tell this listener. */
  get variables(): Record<string, string> {
    return {
      WEBHOOKS_FILE: this.file,
      WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
      WEBHOOK_SCHEMES: 'http',
      EVENT_POLL_INTERVAL: '500ms',
      // A killed node holds what it was delivering for so long.
      EVENT_DELIVERY_TIMEOUT: '2s',
    };
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await rm(this.directory, { recursive: true });
  }

  private get file(): string {
    return join(this.directory, 'webhooks.yaml');
  }

  private hear({ type, data }: Posted): void {
    if (type === 'session.started') this.began.add(`${data.user_id} ${data.device_id}`);
    for (const one of data.devices ?? []) this.ended.add(`${one.user_id} ${one.device_id}`);
  }
}
