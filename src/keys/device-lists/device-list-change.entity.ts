import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/** One change of a user's device list. It is kept for DEVICE_LIST_RETENTION, even if its device is deleted. */
@Entity('device_list_changes')
@Index('device_list_changes_position_idx', ['position'])
@ForeignKey('DeviceListEntity', ['userId'], ['userId'], { name: 'device_list_changes_list_fkey' })
export class DeviceListChangeEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'device_list_changes_pkey' })
  userId!: string;

  /** Microseconds since the epoch, or more. Unique and increasing for each user. */
  @PrimaryColumn({ name: 'position', type: 'bigint', primaryKeyConstraintName: 'device_list_changes_pkey' })
  position!: string;

  /** Position of the previous `m.device_list_update`; `null` for a user's first one, and for other changes. */
  @Column({ name: 'previous_position', type: 'bigint', nullable: true })
  previousPosition!: string | null;

  @Column({ name: 'change', type: 'text' })
  change!: string;

  /** `null` if the change concerns the user's own keys or another user. */
  @Column({ name: 'device_id', type: 'text', nullable: true })
  deviceId!: string | null;

  /** The user who was signed, for a change of that kind. */
  @Column({ name: 'signed_user_id', type: 'text', nullable: true })
  signedUserId!: string | null;
}
