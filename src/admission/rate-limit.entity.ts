import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A counter of the rate limiter, in the shape that its library wants. */
@Entity('rate_limits')
@Index('rate_limits_expiry_idx', ['expire'])
export class RateLimitEntity {
  @PrimaryColumn({ name: 'key', type: 'varchar', length: 255, primaryKeyConstraintName: 'rate_limits_pkey' })
  key!: string;

  @Column({ name: 'points', type: 'integer' })
  points!: number;

  /** Milliseconds since the epoch. */
  @Column({ name: 'expire', type: 'bigint', nullable: true })
  expire!: string | null;
}
