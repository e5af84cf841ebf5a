import { Injectable } from '@nestjs/common';
import { LIMIT_VARIABLES } from '../config/limits.js';
import { BeyondLimit, LimitExceeded } from '../matrix/matrix-error.js';
import { Refusals } from '../matrix/refusals.js';
import { Metrics } from '../metrics/metrics.js';

const COUNTER = {
  name: 'session_limit_refusals_total',
  help: 'Requests that were refused because they were beyond a limit, by the variable that sets it.',
  labelNames: ['variable'],
};

/** Counts the requests that ask for more, or would store more, than a limit allows. */
@Injectable()
export class LimitRefusals {
  constructor(metrics: Metrics, refusals: Refusals) {
    metrics.addCounter(COUNTER);
    for (const variable of LIMIT_VARIABLES) metrics.count(COUNTER.name, { variable }, 0);
    refusals.onRefusal((_request, answer) => {
      const isBeyond = answer instanceof BeyondLimit || answer instanceof LimitExceeded;
      if (isBeyond && answer.variable !== null) metrics.count(COUNTER.name, { variable: answer.variable });
    });
  }
}
