import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A user whom this service has made at the homeserver, or is about to. */
@Entity('homeserver_users')
export class HomeserverUserEntity {
  @PrimaryColumn({ name: 'user_id', type: 'text', primaryKeyConstraintName: 'homeserver_users_pkey' })
  userId!: string;

  /** When the homeserver first had the user; `null` while that is not known. */
  @Column({ name: 'linked_at', type: 'timestamptz', nullable: true })
  linkedAt!: Date | null;
}
