import { Injectable } from '@nestjs/common';
import { Metrics } from '../../metrics/metrics.js';
import { EndingStore } from './ending.store.js';

const MOST = 10_000;

/** Shows how many devices still wait for their deletion, although their sessions have ended. */
@Injectable()
export class EndingMetrics {
  constructor(metrics: Metrics, store: EndingStore) {
    const waiting = {
      name: 'session_ending_devices',
      help: `Devices whose sessions have ended, and that are still to be deleted; at most ${MOST}.`,
      acrossWorkers: 'max',
    } as const;
    metrics.addGauge(waiting, async () => [{ labels: {}, value: await store.count(MOST) }]);
  }
}
