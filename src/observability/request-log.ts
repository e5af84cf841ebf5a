import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Request } from 'express';
import type { Requester } from '../auth/requester.js';
import { type Answered, routeOf } from '../matrix/answers.js';
import type { MatrixExpressAdapter } from '../matrix/http.js';
import { loggablePath } from '../matrix/loggable-path.js';
import { requestIdOf } from '../matrix/request-id.js';
import { RequestTraces } from './request-traces.js';

/** Load balancers ask every second. */
const OFTEN = /^\/health\//;
const LONGEST_PATH = 200;

/** Logs one line for each request. Never a query, a header or a body, because they may hold secrets. */
@Injectable()
export class RequestLog implements OnModuleInit {
  private readonly logger = new Logger('Request');

  constructor(
    private readonly host: HttpAdapterHost<MatrixExpressAdapter>,
    private readonly traces: RequestTraces,
  ) {}

  onModuleInit(): void {
    this.host.httpAdapter.onAnswer((answered) => this.write(answered));
  }

  private write({ request, status, durationMs }: Answered): void {
    const { method = '' } = request;
    const route = routeOf(request);
    // What no route handled is named as it was asked for, so that a wrong proxy is found.
    const path = route ?? loggablePath(request.url!.split('?', 1)[0]!.slice(0, LONGEST_PATH));
    const requester = (request as Request).user as Requester | undefined;
    const traceId = this.traces.idOf(request);
    const line = {
      message: `${method} ${path} ${status} in ${durationMs.toFixed(1)} ms`,
      method,
      route,
      status,
      duration_ms: Number(durationMs.toFixed(1)),
      request_id: requestIdOf(request),
      ...(traceId !== null && { trace_id: traceId }),
      ...(requester && { user_id: requester.userId }),
      ...(requester?.device && { device_id: requester.device.deviceId }),
    };
    if (OFTEN.test(path)) this.logger.debug(line);
    else this.logger.log(line);
  }
}
