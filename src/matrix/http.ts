import { ExpressAdapter } from '@nestjs/platform-express';
import express, { type NextFunction, type Request, type Response } from 'express';
import { cors } from './cors.middleware.js';
import { MatrixError } from './matrix-error.js';

/** Express set to Matrix's rules, before Nest or anybody else gives it a route. */
export function matrixExpress(trustProxy: string | number | false): ExpressAdapter {
  const server = express();
  server.set('trust proxy', trustProxy);
  server.disable('x-powered-by');
  server.disable('etag');
  server.enable('case sensitive routing');
  server.enable('strict routing');
  server.use(cors, refuseNul);
  return new ExpressAdapter(server);
}

/** No identifier holds a NUL, and PostgreSQL stores none. */
function refuseNul(request: Request, _response: Response, next: NextFunction): void {
  next(
    request.url.includes('%00')
      ? MatrixError.invalidParam('The path and its parameters may not hold NUL')
      : undefined,
  );
}
