import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { Environment } from '../../config/environment.js';
import { AccountRegistered } from '../../events/account-registered.event.js';
import { DeviceCreated } from '../../events/device-created.event.js';
import { DevicesDeleted } from '../../events/devices-deleted.event.js';
import { InTransaction } from '../../events/in-transaction.decorator.js';
import { SessionsEnded } from '../../events/sessions-ended.event.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { Metrics } from '../../metrics/metrics.js';
import type { Arrival } from '../../outbox/arrivals.js';
import { OutboxService } from '../../outbox/outbox.service.js';
import type { RecordedEvent } from '../../outbox/subscribers.js';
import { UnservedSessionsService } from '../../session/ending/unserved-sessions.service.js';
import { Homeserver, HomeserverUnavailable } from '../homeserver.port.js';
import { SecondLook } from './second-look.event.js';
import { SUBSCRIBER } from './subscriber-name.js';
import { UserMissing } from './user-missing.event.js';

/** Lets requests wait for the homeserver after their commit. */
@Injectable()
export class HomeserverWaits implements OnModuleInit {
  private readonly logger = new Logger(HomeserverWaits.name);

  constructor(
    private readonly homeserver: Homeserver,
    private readonly outbox: OutboxService,
    private readonly unserved: UnservedSessionsService,
    private readonly environment: Environment,
    private readonly metrics: Metrics,
  ) {}

  onModuleInit(): void {
    this.metrics.addCounter({
      name: 'session_homeserver_late_total',
      help: 'Requests that were answered before the homeserver had heard of what they ended or changed.',
    });
    this.homeserver.whenUp(() => {
      this.outbox
        .hasten(SUBSCRIBER)
        .catch((error: unknown) =>
          this.logger.warn(`Deliveries wait for their next attempt: ${String(error)}`),
        );
    });
  }

  /** While the homeserver is down, no device is made that it could not serve. */
  @InTransaction(DeviceCreated)
  async requireUp(): Promise<void> {
    if (!this.homeserver.isUp) throw new HomeserverUnavailable();
  }

  /**
   * Waits until the homeserver has heard of what was committed. A new device must be known there; otherwise it is
   * ended again. What has ended or changed is final, so the wait is short and never fails.
   * @throws {MatrixError} 503 if the homeserver does not answer; 403 if it refuses the user or the device
   */
  async afterCommit(recorded: readonly RecordedEvent[]): Promise<void> {
    const awaited = recorded.filter(({ event }) => isAwaited(event));
    if (awaited.length === 0) return;
    const { loginWaitMs, logoutWaitMs } = this.environment.homeserver;
    if (awaited.some(({ event }) => isNew(event))) return this.waitForNew(awaited, loginWaitMs);
    const again = awaited.find(({ event }) => isOnKnownDevice(event));
    const limitMs = again === undefined ? logoutWaitMs : loginWaitMs;
    const arrival = this.homeserver.isUp ? await this.wait(awaited, limitMs) : 'late';
    if (arrival === 'arrived') return;
    this.metrics.count('session_homeserver_late_total');
    // Another login has made the device a moment ago.
    if (again !== undefined && (await this.isNewOnItsWay(again.userId))) throw new HomeserverUnavailable();
  }

  private async waitForNew(events: readonly RecordedEvent[], limitMs: number): Promise<void> {
    const arrival = await this.wait(events, limitMs);
    if (arrival === 'arrived') return;
    await this.undo(events);
    if (arrival === 'late') throw new HomeserverUnavailable();
    const [errcode, message] = codeAndMessage(arrival.refusal);
    throw errcode === 'M_INVALID_PARAM' ? MatrixError.invalidParam(message) : MatrixError.forbidden(message);
  }

  private isNewOnItsWay(userId: string): Promise<boolean> {
    return this.outbox.isPending(SUBSCRIBER, userId, DeviceCreated.eventName);
  }

  private wait(events: readonly RecordedEvent[], limitMs: number): Promise<Arrival> {
    return this.outbox.arrival(
      SUBSCRIBER,
      events.map(({ eventId }) => eventId),
      limitMs,
    );
  }

  /** Ends the devices that were made in vain. Their tokens were given to nobody. */
  private async undo(recorded: readonly RecordedEvent[]): Promise<void> {
    const made = recorded.flatMap(({ event }) => (event instanceof DeviceCreated ? [event] : []));
    if (made.length > 0) await this.unserved.end(made);
  }
}

/** What the subscriber has made of a refusal: its code and its message. */
function codeAndMessage(refusal: string): [errcode: string, message: string] {
  const [errcode = '', ...words] = refusal.split(': ');
  return [errcode, words.join(': ')];
}

/** Nobody waits for what only repairs, or undoes what the homeserver did not hear of. */
function isAwaited(event: object): boolean {
  if (event instanceof DevicesDeleted) return event.reason !== 'homeserver';
  return !(event instanceof SecondLook || event instanceof UserMissing);
}

function isNew(event: object): boolean {
  return event instanceof DeviceCreated || event instanceof AccountRegistered;
}

function isOnKnownDevice(event: object): boolean {
  return event instanceof SessionsEnded && event.reason === 'replaced_by_login';
}
