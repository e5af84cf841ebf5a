import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Environment } from '../../config/environment.js';
import { AccountDeactivated } from '../../events/account-deactivated.event.js';
import { AccountRegistered } from '../../events/account-registered.event.js';
import { AccountRestricted } from '../../events/account-restricted.event.js';
import { DeviceCreated } from '../../events/device-created.event.js';
import { DeviceRenamed } from '../../events/device-renamed.event.js';
import { DevicesDeleted } from '../../events/devices-deleted.event.js';
import { SessionsEnded } from '../../events/sessions-ended.event.js';
import {
  type DeliveryTerms,
  type EventMessage,
  type RecordedEvent,
  type Subscriber,
  Subscribers,
  Undeliverable,
} from '../../outbox/subscribers.js';
import { HomeserverDeliveries } from './homeserver.deliveries.js';
import { Homeserver, HomeserverRefusal } from '../homeserver.port.js';
import { HomeserverWaits } from './homeserver-waits.js';
import { SecondLook } from './second-look.event.js';
import { UserMissing } from './user-missing.event.js';
import { SUBSCRIBER } from './subscriber-name.js';

/** A call that hangs holds up its own user only, unless this many users hang. */
const AT_ONCE = 64;
/** A delivery makes several calls, of which hardly more than one is slow. */
const CALLS = 2;
const LONGEST_PAUSE_MS = 15_000;

type Handler = (payload: never, signal: AbortSignal) => Promise<void>;

/** Tells the homeserver what happened, through the outbox: in order for each user, and until it has arrived. */
@Injectable()
export class HomeserverSubscriber implements Subscriber, OnModuleInit {
  readonly name = SUBSCRIBER;
  readonly events: readonly string[];
  readonly terms: DeliveryTerms;
  private readonly handlers: ReadonlyMap<string, Handler>;

  constructor(
    private readonly subscribers: Subscribers,
    private readonly waits: HomeserverWaits,
    private readonly homeserver: Homeserver,
    deliveries: HomeserverDeliveries,
    environment: Environment,
  ) {
    this.handlers = new Map<string, Handler>([
      [
        AccountRegistered.eventName,
        ({ userId }: AccountRegistered, signal) => deliveries.userRegistered(userId, signal),
      ],
      [DeviceCreated.eventName, (event: DeviceCreated, signal) => deliveries.deviceCreated(event, signal)],
      [DeviceRenamed.eventName, (event: DeviceRenamed, signal) => deliveries.deviceRenamed(event, signal)],
      [DevicesDeleted.eventName, (event: DevicesDeleted, signal) => deliveries.devicesDeleted(event, signal)],
      [
        AccountDeactivated.eventName,
        (event: AccountDeactivated, signal) => deliveries.deactivated(event, signal),
      ],
      [
        AccountRestricted.eventName,
        (event: AccountRestricted, signal) => deliveries.restricted(event, signal),
      ],
      [SecondLook.eventName, (event: SecondLook, signal) => deliveries.lookAgain(event, signal)],
      [UserMissing.eventName, (event: UserMissing, signal) => deliveries.userMissing(event, signal)],
      // Nothing to tell. A login on a known device waits for it, and so for all that comes before it.
      [SessionsEnded.eventName, async () => {}],
    ]);
    this.events = [...this.handlers.keys()];
    this.terms = {
      atOnce: AT_ONCE,
      timeoutMs: CALLS * environment.homeserver.timeoutMs,
      longestPauseMs: LONGEST_PAUSE_MS,
      maxAttempts: Number.POSITIVE_INFINITY,
    };
  }

  onModuleInit(): void {
    if (this.homeserver.exists) this.subscribers.add(this);
  }

  async deliver({ event, payload }: EventMessage, signal: AbortSignal): Promise<void> {
    try {
      await this.handlers.get(event)!(payload as never, signal);
    } catch (error) {
      if (error instanceof HomeserverRefusal) throw new Undeliverable(`${error.errcode}: ${error.message}`);
      throw error;
    }
  }

  afterCommit(recorded: readonly RecordedEvent[]): Promise<void> {
    return this.waits.afterCommit(recorded);
  }
}
