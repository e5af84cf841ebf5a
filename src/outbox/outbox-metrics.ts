import { Injectable } from '@nestjs/common';
import { Metrics } from '../metrics/metrics.js';
import { OutboxStore } from './outbox.store.js';

/** Shows how many deliveries wait, and how many were given up. */
@Injectable()
export class OutboxMetrics {
  constructor(store: OutboxStore, metrics: Metrics) {
    for (const state of ['pending', 'buried'] as const) {
      const gauge = {
        name: `session_event_deliveries_${state}`,
        help: `Deliveries that are ${state}, by subscriber; at most 10000.`,
        labelNames: ['subscriber'],
      };
      metrics.addGauge(gauge, async () =>
        (await store.count(state)).map(({ subscriber, count }) => ({ labels: { subscriber }, value: count })),
      );
    }
  }
}
