import { Injectable } from '@nestjs/common';
import { Metrics } from '../metrics/metrics.js';
import { Clock } from '../system/clock.js';
import { OutboxStore } from './outbox.store.js';
import { Subscribers } from './subscribers.js';

/** Shows how many deliveries wait, for how long, and how many were given up. */
@Injectable()
export class OutboxMetrics {
  constructor(
    private readonly store: OutboxStore,
    private readonly subscribers: Subscribers,
    private readonly clock: Clock,
    metrics: Metrics,
  ) {
    for (const state of ['pending', 'buried'] as const) {
      const gauge = {
        name: `session_event_deliveries_${state}`,
        help: `Deliveries that are ${state}, by subscriber; at most 10000.`,
        labelNames: ['subscriber'],
        acrossWorkers: 'max' as const,
      };
      metrics.addGauge(gauge, async () => {
        const counts = await store.count(state);
        return this.forEach(
          async (name) => counts.find((one) => one.subscriber === name)?.count ?? 0,
          counts,
        );
      });
    }
    metrics.addGauge(
      {
        name: 'session_event_delivery_lag_seconds',
        acrossWorkers: 'max',
        help: 'Age of the oldest event that a subscriber has not received; 0 if there is none.',
        labelNames: ['subscriber'],
      },
      () => this.forEach((name) => this.lagOf(name)),
    );
  }

  private async lagOf(name: string): Promise<number> {
    const oldest = await this.store.oldestPending(name);
    return oldest === null ? 0 : (this.clock.now().getTime() - oldest.getTime()) / 1_000;
  }

  /** One value for each subscriber of this node, and for others that have some. */
  private forEach(value: (name: string) => Promise<number>, others: readonly { subscriber: string }[] = []) {
    const names = [...this.subscribers.all(), ...others.map(({ subscriber: name }) => ({ name }))];
    return Promise.all(
      [...new Set(names.map(({ name }) => name))].map(async (subscriber) => ({
        labels: { subscriber },
        value: await value(subscriber),
      })),
    );
  }
}
