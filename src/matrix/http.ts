import type { NestExpressApplication } from '@nestjs/platform-express';
import type { NextFunction, Request, Response } from 'express';
import { cors } from './cors.middleware.js';
import { MatrixError } from './matrix-error.js';

/** Sets Express to Matrix's rules. Belongs before the first route is known. */
export function speakMatrix(app: NestExpressApplication): void {
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.use(cors);
  app.use(refuseNul);
}

/** No identifier holds a NUL, and PostgreSQL stores none. */
function refuseNul(request: Request, _response: Response, next: NextFunction): void {
  next(request.url.includes('%00') ? MatrixError.invalidParam('The path and its parameters may not hold NUL') : undefined);
}
