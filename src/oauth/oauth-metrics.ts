import { Injectable } from '@nestjs/common';
import { ErrorAnswer } from '../matrix/matrix-error.js';
import { OAuthError } from '../matrix/oauth-error.js';
import { Metrics } from '../metrics/metrics.js';
import { DEVICE_GRANT } from './clients/client-metadata.rules.js';

const REQUESTS = {
  name: 'session_oauth_token_requests_total',
  help: 'Requests to the token endpoint, by grant and by result: ok, or the error.',
  labelNames: ['grant', 'result'],
};
const GRANTS: Readonly<Record<string, string>> = {
  authorization_code: 'authorization_code',
  refresh_token: 'refresh_token',
  [DEVICE_GRANT]: 'device_code',
};

/** Counts what the token endpoint does. */
@Injectable()
export class OAuthMetrics {
  constructor(private readonly metrics: Metrics) {
    metrics.addCounter(REQUESTS);
    for (const grant of Object.values(GRANTS)) metrics.count(REQUESTS.name, { grant, result: 'ok' }, 0);
  }

  /** Runs a request and counts it. */
  async count<Result>(grantType: string, request: () => Promise<Result>): Promise<Result> {
    const grant = GRANTS[grantType] ?? 'other';
    try {
      const result = await request();
      this.metrics.count(REQUESTS.name, { grant, result: 'ok' });
      return result;
    } catch (error) {
      this.metrics.count(REQUESTS.name, { grant, result: resultOf(error) });
      throw error;
    }
  }
}

function resultOf(error: unknown): string {
  if (error instanceof OAuthError) return error.code;
  return error instanceof ErrorAnswer && error.status < 500 ? 'refused' : 'error';
}
