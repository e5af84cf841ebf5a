import { Module } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import { JsonBodyInterceptor } from './json-body.interceptor.js';
import { MatrixExceptionFilter } from './matrix-exception.filter.js';
import { MatrixValidationPipe } from './validation.pipe.js';

/** How Matrix speaks HTTP: errors, bodies and their checks, for every route of the application. */
@Module({
  providers: [
    { provide: APP_FILTER, useClass: MatrixExceptionFilter },
    { provide: APP_INTERCEPTOR, useClass: JsonBodyInterceptor },
    { provide: APP_PIPE, useClass: MatrixValidationPipe },
  ],
})
export class MatrixModule {}
