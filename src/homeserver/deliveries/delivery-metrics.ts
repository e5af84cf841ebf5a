import { Injectable } from '@nestjs/common';
import { Metrics } from '../../metrics/metrics.js';
import { OutboxService } from '../../outbox/outbox.service.js';
import { SUBSCRIBER } from './subscriber-name.js';

/** Shows for how long the homeserver has not heard of something. */
@Injectable()
export class DeliveryMetrics {
  constructor(outbox: OutboxService, metrics: Metrics) {
    metrics.addGauge(
      {
        name: 'session_homeserver_lag_seconds',
        acrossWorkers: 'max',
        help: 'Age of the oldest event that has not arrived at the homeserver; 0 if there is none.',
      },
      async () => [{ labels: {}, value: (await outbox.lagMs(SUBSCRIBER)) / 1_000 }],
    );
  }
}
