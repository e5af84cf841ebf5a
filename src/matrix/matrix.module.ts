import { Global, Module, type OnModuleInit } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE, HttpAdapterHost } from '@nestjs/core';
import { HttpDrain } from './http-drain.js';
import { MatrixExpressAdapter } from './http.js';
import { JsonBodyGuard } from './json-body.guard.js';
import { MatrixExceptionFilter } from './matrix-exception.filter.js';
import { Shutdown } from './shutdown.js';
import { Refusals } from './refusals.js';
import { MatrixValidationPipe } from './validation.pipe.js';

/** Matrix over HTTP: errors, bodies and their validation, for every route of the application. */
// Global, because other modules may want to know of refusals.
@Global()
@Module({
  providers: [
    HttpDrain,
    Shutdown,
    Refusals,
    { provide: APP_FILTER, useClass: MatrixExceptionFilter },
    { provide: APP_GUARD, useClass: JsonBodyGuard },
    { provide: APP_PIPE, useClass: MatrixValidationPipe },
  ],
  exports: [Refusals, Shutdown],
})
export class MatrixModule implements OnModuleInit {
  constructor(private readonly host: HttpAdapterHost) {}

  /** With another adapter, bodies would be lost, and paths would match that should not. */
  onModuleInit(): void {
    if (!(this.host.httpAdapter instanceof MatrixExpressAdapter))
      throw new Error(
        'The application must be made with matrixExpress(): NestFactory.create(RootModule, matrixExpress(…))',
      );
  }
}
