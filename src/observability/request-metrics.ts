import { Injectable, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Express, Request } from 'express';
import { type Answered, routeOf } from '../matrix/answers.js';
import { MatrixExpressAdapter } from '../matrix/http.js';
import { Metrics } from '../metrics/metrics.js';
import { OUTCOMES, RESULTS, resultOf } from './outcomes.js';

const REQUESTS = {
  name: 'session_http_requests_total',
  help: 'Requests, by method, route and status; 499: the client did not wait.',
  labelNames: ['method', 'route', 'status'],
};
const DURATIONS = {
  name: 'session_http_request_duration_seconds',
  help: 'How long requests took, by method and route.',
  labelNames: ['method', 'route'],
};
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Node knows thirty more, which nobody uses. */
export const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'OPTIONS',
  'PATCH',
]);
const OTHER = 'OTHER';
/** It changes nothing. */
const DRY_RUN = /[?&]dry_run=true(?:&|$)/;
/** What no route handled: its path may be anything, and would be a new label each time. */
const UNKNOWN = 'unknown';

/** Counts requests and how they were answered. */
@Injectable()
export class RequestMetrics implements OnModuleInit, OnApplicationBootstrap {
  constructor(
    private readonly host: HttpAdapterHost<MatrixExpressAdapter>,
    private readonly metrics: Metrics,
  ) {
    metrics.addCounter(REQUESTS);
    metrics.addHistogram(DURATIONS, BUCKETS);
    for (const { name, help, kinds } of OUTCOMES) {
      metrics.addCounter({ name, help, labelNames: ['kind', 'result'] });
      for (const kind of new Set(Object.values(kinds)))
        for (const result of RESULTS) metrics.count(name, { kind, result }, 0);
    }
  }

  onModuleInit(): void {
    this.host.httpAdapter.onAnswer((answered) => this.count(answered));
  }

  /** The routes are known now: each is seen before its first request. */
  onApplicationBootstrap(): void {
    const { stack } = this.host.httpAdapter.getInstance<Express>().router;
    for (const { route } of stack) {
      if (route === undefined || typeof route.path !== 'string') continue;
      const { methods } = route as unknown as { methods: object };
      for (const method of Object.keys(methods).filter((one) => METHODS.has(one.toUpperCase())))
        this.metrics.count(
          REQUESTS.name,
          { method: method.toUpperCase(), route: route.path, status: '200' },
          0,
        );
    }
  }

  private count({ request, status, durationMs }: Answered): void {
    const route = routeOf(request) ?? UNKNOWN;
    const method = METHODS.has(request.method!) ? request.method! : OTHER;
    this.metrics.count(REQUESTS.name, { method, route, status: String(status) });
    this.metrics.observe(DURATIONS.name, { method, route }, durationMs / 1_000);
    const { body } = request as Request;
    if (DRY_RUN.test(request.url ?? '') || (body as { dry_run?: unknown } | undefined)?.dry_run === true)
      return;
    for (const { name, kinds } of OUTCOMES) {
      const kind = kinds[`${method} ${route}`];
      if (kind !== undefined) this.metrics.count(name, { kind, result: resultOf(status) });
    }
  }
}
