import { StreamableFile } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import express, { type NextFunction, type Request, type Response } from 'express';
import { cors } from './cors.middleware.js';
import { type HttpTimeouts, jsonHeaders, MatrixHttpServer } from './http-server.js';
import { MatrixError } from './matrix-error.js';

/**
 * Express set to Matrix's rules, before Nest or anybody else gives it a route.
 *
 * @example
 * ```ts
 * const app = await NestFactory.create(RootModule, matrixExpress(environment.trustProxy));
 * ```
 * @param timeouts default: 95 s between two requests of a connection, 30 s for a request with its body
 */
export function matrixExpress(
  trustProxy: string | number | false,
  timeouts: HttpTimeouts = { keepAliveMs: 95_000, requestMs: 30_000 },
): ExpressAdapter {
  const server = express();
  server.set('trust proxy', trustProxy);
  server.disable('x-powered-by');
  server.disable('etag');
  server.enable('case sensitive routing');
  server.enable('strict routing');
  server.use(cors, refuseNul);
  return new MatrixExpressAdapter(server, timeouts);
}

/** Express's `json` looks at settings, types and character sets each time; our answers are JSON, in UTF-8. */
export class MatrixExpressAdapter extends ExpressAdapter {
  private http: MatrixHttpServer | undefined;

  constructor(
    server: express.Express,
    private readonly timeouts: HttpTimeouts,
  ) {
    super(server);
  }

  override initHttpServer(): void {
    this.http = new MatrixHttpServer(this.getInstance(), this.timeouts);
    this.httpServer = this.http.server;
  }

  /** Lets requests end; see {@link MatrixHttpServer.stop}. */
  async stop(limitMs: number): Promise<boolean> {
    return (await this.http?.stop(limitMs)) ?? false;
  }

  /**
   * Bodies are read behind the guard (`JsonBodyGuard`): Nest's parsers would read them before it, and leave it
   * none.
   */
  override registerParserMiddleware(): void {}

  override reply(response: Response, body: unknown, status?: number): unknown {
    if (!isJson(body) || response.hasHeader('Content-Type'))
      return super.reply(response, body, status) as unknown;
    const json = JSON.stringify(body);
    return response.writeHead(status ?? response.statusCode, jsonHeaders(json)).end(json);
  }
}

/** Whatever a handler gives is JSON, strings and numbers, too, but for files, bytes, and nothing at all. */
function isJson(value: unknown): boolean {
  if (typeof value !== 'object') return value !== undefined;
  return !(value instanceof StreamableFile) && !(value instanceof Uint8Array);
}

/** No identifier holds a NUL, and PostgreSQL stores none. */
function refuseNul(request: Request, _response: Response, next: NextFunction): void {
  if (!request.url.includes('%00')) next();
  else if (/[?&]username=[^&]*%00/.test(request.url))
    next(new MatrixError(400, 'M_INVALID_USERNAME', 'A username may not hold NUL'));
  else next(MatrixError.invalidParam('The path and its parameters may not hold NUL'));
}
