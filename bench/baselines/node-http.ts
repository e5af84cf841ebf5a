import { createServer, type IncomingMessage } from 'node:http';
import { serve } from '../contestant.js';
import { bareEndpoints, takesBody } from './endpoints.js';
import { barePool } from './pool.js';

// Baseline 1: node:http and pg, nothing between them.
const answer = bareEndpoints(barePool());

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
}

const server = createServer((request, response) => {
  const respond = async () => {
    const path = request.url!;
    const body = takesBody(path) ? await readJson(request) : {};
    const [status, json] = await answer({ path, authorization: request.headers.authorization, body });
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(json));
  };
  respond().catch((error: unknown) => {
    console.error(error);
    response.writeHead(500).end('{}');
  });
});
server.listen(0, '127.0.0.1', () => serve(server.address()));
