import { Injectable } from '@nestjs/common';
import { Metrics } from '../../metrics/metrics.js';
import { OutboxService } from '../../outbox/outbox.service.js';
import { Clock } from '../../system/clock.js';
import { SUBSCRIBER } from './subscriber-name.js';

/** Shows for how long the homeserver has not heard of something. */
@Injectable()
export class DeliveryMetrics {
  constructor(outbox: OutboxService, clock: Clock, metrics: Metrics) {
    metrics.addGauge(
      {
        name: 'session_homeserver_lag_seconds',
        help: 'Age of the oldest event that has not arrived at the homeserver; 0 if there is none.',
      },
      async () => {
        const oldest = await outbox.oldestPending(SUBSCRIBER);
        const value = oldest === null ? 0 : (clock.now().getTime() - oldest.getTime()) / 1_000;
        return [{ labels: {}, value }];
      },
    );
  }
}
