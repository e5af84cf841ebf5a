import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';

/**
 * The latest position in a user's log of device-list changes. Recording a change locks this row, which keeps changes
 * in order.
 */
@Entity('device_lists')
@ForeignKey('AccountEntity', ['userId'], ['userId'], { name: 'device_lists_account_fkey' })
export class DeviceListEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'device_lists_pkey' })
  userId!: string;

  /** Position of the last change. */
  @Column({ name: 'position', type: 'bigint' })
  position!: string;

  /** Position of the last change that is an `m.device_list_update`; `null` before the first. */
  @Column({ name: 'device_position', type: 'bigint', nullable: true })
  devicePosition!: string | null;

  /** `devicePosition` before the changes of the last transaction. */
  @Column({ name: 'previous_device_position', type: 'bigint', nullable: true })
  previousDevicePosition!: string | null;
}
