import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Logger } from '@nestjs/common';
import { type Environment, EnvironmentError } from '../config/environment.js';

/** What a path of the port for operators answers. */
export interface ManagementAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

/** A request to that port. */
export interface ManagementRequest {
  readonly method: string;
  readonly path: string;
  /** The JSON of a PUT; `undefined` if it is none. */
  readonly body?: unknown;
}

/** Longer bodies are none that belong here. */
const LONGEST_BODY = 10_000;

export function jsonAnswer(status: number, body: object): ManagementAnswer {
  return { status, contentType: 'application/json', text: JSON.stringify(body) };
}

export const NO_SUCH_PATH: ManagementAnswer = { status: 404, contentType: 'text/plain', text: '' };

/** Serves the port for operators: `answer` gets each request, and 503 is answered if it rejects. */
export function managementServer(
  answer: (request: ManagementRequest) => Promise<ManagementAnswer>,
  logger: Pick<Logger, 'warn'>,
): Server {
  return createServer((request, response) => {
    const { method = '', url = '' } = request;
    const [path = ''] = url.split('?');
    const answering = async () => {
      try {
        return await answer({ method, path, ...(method === 'PUT' ? { body: await jsonOf(request) } : {}) });
      } catch (error) {
        logger.warn(`${path} could not be answered: ${String(error)}`);
        return { ...NO_SUCH_PATH, status: 503 };
      }
    };
    void answering().then(({ status, contentType, text }) =>
      response.writeHead(status, { 'Content-Type': contentType }).end(text),
    );
  });
}

/** @throws {EnvironmentError} if the port is taken */
export async function listenTo(
  server: Server,
  { metricsHost, metricsPort }: Pick<Environment, 'metricsHost' | 'metricsPort'>,
): Promise<void> {
  server.listen(metricsPort!, metricsHost);
  await once(server, 'listening').catch((error: Error) => {
    throw new EnvironmentError([`METRICS_HOST and METRICS_PORT must be free to listen on: ${error.message}`]);
  });
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > LONGEST_BODY) return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
