import { ExpressAdapter } from '@nestjs/platform-express';
import express, { type NextFunction, type Request, type Response } from 'express';
import { cors } from './cors.middleware.js';
import { MatrixError } from './matrix-error.js';

/**
 * Express set to Matrix's rules, before Nest or anybody else gives it a route.
 *
 * @example
 * ```ts
 * const app = await NestFactory.create(RootModule, matrixExpress(environment.trustProxy));
 * ```
 */
export function matrixExpress(trustProxy: string | number | false): ExpressAdapter {
  const server = express();
  server.set('trust proxy', trustProxy);
  server.disable('x-powered-by');
  server.disable('etag');
  server.enable('case sensitive routing');
  server.enable('strict routing');
  server.use(cors, refuseNul);
  return new MatrixExpressAdapter(server);
}

/** Express's `json` looks at settings, types and character sets each time; our answers are objects, in UTF-8. */
export class MatrixExpressAdapter extends ExpressAdapter {
  /** Bodies are read behind the guard (`JsonBodyGuard`): Nest's parsers would read them before it, and leave it none. */
  override registerParserMiddleware(): void {}

  override reply(response: Response, body: unknown, status?: number): unknown {
    if (!isPlainObject(body) || response.hasHeader('Content-Type'))
      return super.reply(response, body, status) as unknown;
    const json = JSON.stringify(body);
    return response
      .writeHead(status ?? response.statusCode, {
        'Content-Type': 'application/json; charset=utf-8',
        'Content-Length': Buffer.byteLength(json),
      })
      .end(json);
  }
}

function isPlainObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** No identifier holds a NUL, and PostgreSQL stores none. */
function refuseNul(request: Request, _response: Response, next: NextFunction): void {
  next(
    request.url.includes('%00')
      ? MatrixError.invalidParam('The path and its parameters may not hold NUL')
      : undefined,
  );
}
