import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/**
 * One change of a user's device list. It outlives the device it tells of, for as long as DEVICE_LIST_RETENTION
 * says.
 */
@Entity('device_list_changes')
@Index('device_list_changes_position_idx', ['position'])
@ForeignKey('DeviceListEntity', ['userId'], ['userId'], { name: 'device_list_changes_list_fkey' })
export class DeviceListChangeEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'device_list_changes_pkey' })
  userId!: string;

  /** Microseconds since the epoch, or more: for one user, no two are the same and later ones are larger. */
  @PrimaryColumn({ name: 'position', type: 'bigint', primaryKeyConstraintName: 'device_list_changes_pkey' })
  position!: string;

  /** Position of the `m.device_list_update` before; `null` for a user's first, and for changes that are none. */
  @Column({ name: 'previous_position', type: 'bigint', nullable: true })
  previousPosition!: string | null;

  @Column({ name: 'change', type: 'text' })
  change!: string;

  /** `null` where the change concerns the user's own keys. */
  @Column({ name: 'device_id', type: 'text', nullable: true })
  deviceId!: string | null;

  /** Whom the user signed, where that is the change. */
  @Column({ name: 'signed_user_id', type: 'text', nullable: true })
  signedUserId!: string | null;
}
