import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { DeletionReason } from '../../events/devices-deleted.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';

/**
 * A device whose sessions have ended, but which is deleted in later commits with everything that belongs to it,
 * because there was too much for one commit.
 */
@Entity('ending_devices')
@ForeignKey('DeviceEntity', ['userId', 'deviceId'], ['userId', 'deviceId'], {
  name: 'ending_devices_device_fkey',
  onDelete: 'CASCADE',
})
export class EndingDeviceEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'ending_devices_pkey' })
  userId!: string;

  @PrimaryColumn({ name: 'device_id', type: 'text', primaryKeyConstraintName: 'ending_devices_pkey' })
  deviceId!: string;

  @Column({ name: 'reason', type: 'text' })
  reason!: DeletionReason;

  /** Where the request came from. */
  @Column({ name: 'origin', type: 'jsonb', nullable: true })
  origin!: Origin | null;
}
