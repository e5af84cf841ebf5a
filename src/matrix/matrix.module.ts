import { Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { JsonBodyGuard } from './json-body.guard.js';
import { MatrixExceptionFilter } from './matrix-exception.filter.js';
import { MatrixValidationPipe } from './validation.pipe.js';

/** How Matrix speaks HTTP: errors, bodies and their checks, for every route of the application. */
@Module({
  providers: [
    { provide: APP_FILTER, useClass: MatrixExceptionFilter },
    { provide: APP_GUARD, useClass: JsonBodyGuard },
    { provide: APP_PIPE, useClass: MatrixValidationPipe },
  ],
})
export class MatrixModule {}
