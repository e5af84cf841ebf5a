import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Registry } from 'prom-client';

/** What an operator's monitoring may read, in Prometheus's text format. Counters count since the process started. */
@Injectable()
export class Metrics {
  private readonly registry = new Registry();

  readonly deliveries = new Counter({
    name: 'session_event_deliveries_total',
    help: 'Attempts to deliver an event to a subscriber, by outcome: delivered, failed or buried.',
    labelNames: ['subscriber', 'outcome'],
    registers: [this.registry],
  });

  readonly reconciled = new Counter({
    name: 'session_reconciler_problems_total',
    help: 'Rows that should be impossible, by kind: found, and repaired.',
    labelNames: ['problem', 'outcome'],
    registers: [this.registry],
  });

  /** A value that is asked for when the metrics are read. */
  gauge(name: string, help: string, read: () => Promise<number>): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [this.registry],
      collect: async () => gauge.set(await read()),
    });
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
