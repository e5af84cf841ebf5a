import { Injectable } from '@nestjs/common';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { DeletedDevice, DeviceRef } from '../../events/devices-deleted.event.js';
import { EventBus } from '../../events/event-bus.js';
import { UnservedSessionsService } from '../../session/ending/unserved-sessions.service.js';
import { SecondLooks } from '../deliveries/second-looks.js';
import { UserMissing } from '../deliveries/user-missing.event.js';

/** Repairs what differs at the homeserver, through the outbox: so no repair meets a login or logout half way. */
@Injectable()
export class Repairs {
  constructor(
    private readonly secondLooks: SecondLooks,
    private readonly events: EventBus,
    private readonly unitOfWork: UnitOfWork,
    private readonly unserved: UnservedSessionsService,
  ) {}

  /** Makes the user there, with the devices that they have here. */
  async introduce(userId: string): Promise<void> {
    await this.unitOfWork.run((tx) => this.events.publish(tx, new UserMissing(userId)));
  }

  /** Has devices deleted there that are not here. */
  async remove(devices: readonly DeviceRef[]): Promise<void> {
    if (devices.length === 0) return;
    await this.secondLooks.remember(devices, 0);
    await this.secondLooks.begin();
  }

  /** Ends sessions whose devices were deleted there. */
  async end(devices: readonly DeletedDevice[]): Promise<number> {
    return devices.length === 0 ? 0 : this.unserved.end(devices);
  }
}
