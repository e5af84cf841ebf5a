import { Injectable } from '@nestjs/common';
import { Metrics } from '../metrics/metrics.js';
import { type Span, Tracing } from '../system/tracing.js';
import type { LeasedDelivery } from './outbox.store.js';

type Outcome = 'delivered' | 'failed' | 'buried';

/** What is counted and traced of deliveries. */
@Injectable()
export class DeliveryWatch {
  constructor(
    private readonly metrics: Metrics,
    private readonly tracing: Tracing,
  ) {}

  count(subscriber: string, outcome: Outcome, by = 1): void {
    this.metrics.count('session_event_deliveries_total', { subscriber, outcome }, by);
  }

  /** Records a delivery as a trace of its own, because it may come much later than the request, and more than once. */
  trace(delivery: LeasedDelivery, work: (span: Span) => Promise<void>): Promise<void> {
    const { traceParent: link, subscriber, event, eventId, attempts: attempt } = delivery;
    const attributes = { subscriber, event, event_id: eventId, attempt };
    return this.tracing.follow(`deliver ${event}`, { kind: 'consumer', link, attributes }, work);
  }

  /** Runs what belongs to no request, although a request may have caused it. */
  apart<Result>(work: () => Result): Result {
    return this.tracing.apart(work);
  }
}
