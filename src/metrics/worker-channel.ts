import type { ManagementAnswer, ManagementRequest } from './management.js';
import type { MetricValues } from './metrics.js';

/** What the primary of several workers asks one of them. */
export interface Question {
  readonly question: number;
  /** `metrics` asks for the values of all metrics. */
  readonly asked: ManagementRequest | 'metrics';
}

/** What the worker answers. */
export interface Reply {
  readonly reply: number;
  readonly answer: ManagementAnswer | MetricValues | null;
}

export function isQuestion(message: unknown): message is Question {
  return typeof message === 'object' && message !== null && 'question' in message;
}

export function isReply(message: unknown): message is Reply {
  return typeof message === 'object' && message !== null && 'reply' in message;
}

/** Counted by the primary; a process of its own has none. */
export const WORKER_EXITS = {
  name: 'session_worker_exits_total',
  help: 'Workers that have ended and were replaced.',
};
