import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { ClientMetadata } from './client-metadata.rules.js';

/** A registered client. All users share it, and it never changes: another registration is another client. */
@Entity('oauth_clients')
@Index('oauth_clients_last_used_idx', ['lastUsedAt'])
export class OAuthClientEntity {
  /** A digest of `metadata`. */
  @PrimaryColumn({ name: 'client_id', type: 'text', primaryKeyConstraintName: 'oauth_clients_pkey' })
  clientId!: string;

  @Column({ name: 'metadata', type: 'jsonb' })
  metadata!: ClientMetadata;

  @Column({ name: 'registered_at', type: 'timestamptz' })
  registeredAt!: Date;

  /** When it was last registered or began a session, to the day. */
  @Column({ name: 'last_used_at', type: 'timestamptz' })
  lastUsedAt!: Date;
}
