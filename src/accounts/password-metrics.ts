import { Injectable } from '@nestjs/common';
import { Metrics } from '../metrics/metrics.js';
import { PasswordHasher } from '../system/password-hasher.js';

/** Shows how busy the hashing of passwords is. */
@Injectable()
export class PasswordMetrics {
  constructor(hasher: PasswordHasher, metrics: Metrics) {
    metrics.addGauge(
      {
        name: 'session_password_hashes',
        help: 'Passwords that are being hashed or verified (active), or wait for it (waiting).',
        labelNames: ['state'],
      },
      async () => [
        { labels: { state: 'active' }, value: hasher.active },
        { labels: { state: 'waiting' }, value: hasher.waiting },
      ],
    );
  }
}
