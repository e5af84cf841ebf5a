import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A device that the homeserver has deleted, and is told once more to delete. */
@Entity('homeserver_second_looks')
@Index('homeserver_second_looks_due_idx', ['dueAt'])
export class SecondLookEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'homeserver_second_looks_pkey' })
  userId!: string;

  @PrimaryColumn({
    name: 'device_id',
    type: 'text',
    primaryKeyConstraintName: 'homeserver_second_looks_pkey',
  })
  deviceId!: string;

  @Column({ name: 'due_at', type: 'timestamptz' })
  dueAt!: Date;
}
