import type { RequestListener } from 'node:http';
import { StreamableFile } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import express, { type NextFunction, type Request, type Response } from 'express';
import { cors } from './cors.middleware.js';
import { type HttpLimits, jsonHeaders, MatrixHttpServer } from './http-server.js';
import type { AnswerListener, Surroundings } from './answers.js';
import { MatrixError } from './matrix-error.js';
import { comesFromProxy, identify } from './request-id.js';

/**
 * Express configured for Matrix, for Nest to add routes to.
 *
 * @example
 * ```ts
 * const app = await NestFactory.create(RootModule, matrixExpress(environment.trustProxy));
 * ```
 * @param limits default: 95 s between two requests of a connection, 30 s for a request with its body, any number of
 *   connections
 */
export function matrixExpress(
  trustProxy: string | number | false,
  limits: HttpLimits = { keepAliveMs: 95_000, requestMs: 30_000 },
): ExpressAdapter {
  const server = express();
  server.set('trust proxy', trustProxy);
  server.disable('x-powered-by');
  server.disable('etag');
  server.enable('case sensitive routing');
  server.enable('strict routing');
  server.use(identify, cors, refuseNul);
  return new MatrixExpressAdapter(server, limits);
}

/** Sends answers faster than Express's `json`, which checks settings, types and character sets for each of them. */
export class MatrixExpressAdapter extends ExpressAdapter {
  private http: MatrixHttpServer | undefined;
  private readonly listeners: AnswerListener[] = [];
  private surroundings: Surroundings | undefined;

  constructor(
    server: express.Express,
    private readonly limits: HttpLimits,
  ) {
    super(server);
  }

  override initHttpServer(): void {
    const handle = this.getInstance<express.Express>();
    const listener: RequestListener = (request, response) => {
      if (this.surroundings === undefined) handle(request, response);
      else this.surroundings(request, comesFromProxy(request, handle), () => handle(request, response));
    };
    this.http = new MatrixHttpServer(listener, this.limits, this.listeners);
    this.httpServer = this.http.server;
  }

  /** Tells `listener` of every request and how it was answered. */
  onAnswer(listener: AnswerListener): void {
    this.listeners.push(listener);
  }

  /** Lets every request be handled inside of something. */
  surround(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  /** Lets open requests end; see {@link MatrixHttpServer.stop}. */
  async stop(limitMs: number): Promise<boolean> {
    return (await this.http?.stop(limitMs)) ?? false;
  }

  /** `JsonBodyGuard` reads bodies. Nest's parsers would read them first and leave nothing for it. */
  override registerParserMiddleware(): void {}

  override reply(response: Response, body: unknown, status?: number): unknown {
    if (!isJson(body) || response.hasHeader('Content-Type'))
      return super.reply(response, body, status) as unknown;
    const json = JSON.stringify(body);
    return response.writeHead(status ?? response.statusCode, jsonHeaders(json)).end(json);
  }
}

/** Everything that a handler returns is JSON, even strings and numbers, except files, bytes and `undefined`. */
function isJson(value: unknown): boolean {
  if (typeof value !== 'object') return value !== undefined;
  return !(value instanceof StreamableFile) && !(value instanceof Uint8Array);
}

/** OAuth 2.0 and its pages read their parameters themselves, and have errors of their own. */
const READ_ELSEWHERE = /^\/(?:oauth2|account)(?:\/[a-z]*)?\?/;

/** Identifiers never contain NUL, and PostgreSQL cannot store it. */
function refuseNul(request: Request, _response: Response, next: NextFunction): void {
  if (!request.url.includes('%00') || READ_ELSEWHERE.test(request.url)) next();
  else if (/[?&]username=[^&]*%00/.test(request.url))
    next(new MatrixError(400, 'M_INVALID_USERNAME', 'A username may not hold NUL'));
  else next(MatrixError.invalidParam('The path and its parameters may not hold NUL'));
}
