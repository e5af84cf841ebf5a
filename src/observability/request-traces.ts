import type { IncomingMessage } from 'node:http';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Request } from 'express';
import type { Requester } from '../auth/requester.js';
import { type Answered, routeOf } from '../matrix/answers.js';
import type { MatrixExpressAdapter } from '../matrix/http.js';
import { requestIdOf } from '../matrix/request-id.js';
import { type Span, Tracing } from '../system/tracing.js';
import { METHODS } from './request-metrics.js';

/** Load balancers ask every second. */
const OFTEN = '/health/';

/**
 * Records each request as a span. Like the log, it names route, user and device, and never a path with its
 * parameters, a query, a header or a body.
 */
@Injectable()
export class RequestTraces implements OnModuleInit {
  private readonly spans = new WeakMap<IncomingMessage, Span>();

  constructor(
    private readonly host: HttpAdapterHost<MatrixExpressAdapter>,
    private readonly tracing: Tracing,
  ) {}

  onModuleInit(): void {
    if (!this.tracing.isOn) return;
    const { httpAdapter } = this.host;
    httpAdapter.surround((request, isFromProxy, handle) => this.begin(request, isFromProxy, handle));
    httpAdapter.onAnswer((answered) => this.end(answered));
  }

  /** The ID of the trace; `null` if the request is not recorded. */
  idOf(request: IncomingMessage): string | null {
    return this.spans.get(request)?.traceId ?? null;
  }

  private begin(request: IncomingMessage, isFromProxy: boolean, handle: () => void): void {
    if (request.url!.startsWith(OFTEN)) {
      handle();
      return;
    }
    const { traceparent = null, 'x-forwarded-proto': protocol = '' } = isFromProxy ? request.headers : {};
    const method = methodOf(request);
    const attributes = {
      'http.request.method': method,
      'url.scheme': String(protocol).startsWith('https') ? 'https' : 'http',
    };
    const parent = typeof traceparent === 'string' ? traceparent : null;
    this.tracing.begin(method, { kind: 'server', parent, attributes }, (span) => {
      this.spans.set(request, span);
      handle();
    });
  }

  private end({ request, status }: Answered): void {
    const span = this.spans.get(request);
    if (span === undefined) return;
    const route = routeOf(request);
    const requestId = requestIdOf(request);
    const requester = (request as Request).user as Requester | undefined;
    if (route !== null) span.name(`${methodOf(request)} ${route}`);
    span.add({
      'http.response.status_code': status,
      ...(route !== null && { 'http.route': route }),
      ...(requestId !== null && { request_id: requestId }),
      ...(requester && { user_id: requester.userId }),
      ...(requester?.device && { device_id: requester.device.deviceId }),
    });
    if (status >= 500) span.fail(status);
    span.end();
  }
}

/** Other methods may be anything. */
function methodOf({ method = '' }: IncomingMessage): string {
  return METHODS.has(method) ? method : '_OTHER';
}
