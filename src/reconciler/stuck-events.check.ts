import { Injectable } from '@nestjs/common';
import { OutboxService } from '../outbox/outbox.service.js';
import { Clock } from '../system/clock.js';
import { EXAMPLES, type Finding, PAGE } from './finding.js';

export const EVENTS_STUCK = 'events_stuck';
const STUCK_AFTER_MS = 10 * 60 * 1_000;

/** Finds events that are not being delivered. */
@Injectable()
export class StuckEventsCheck {
  constructor(
    private readonly outbox: OutboxService,
    private readonly clock: Clock,
  ) {}

  async look(repair: boolean): Promise<Finding> {
    const stuck = await this.outbox.findStuck(new Date(this.clock.now().getTime() - STUCK_AFTER_MS), PAGE);
    return {
      problem: EVENTS_STUCK,
      found: stuck.length,
      // Events whose delivery failed again are due later, but do not count as repaired.
      repaired: repair && stuck.length > 0 ? await this.outbox.deliver(stuck) : 0,
      examples: stuck.slice(0, EXAMPLES).map(({ subscriber, eventId }) => `${subscriber} ${eventId}`),
    };
  }
}
