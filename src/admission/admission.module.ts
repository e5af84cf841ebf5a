import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { LimitRefusals } from './limit-refusals.js';
import { RateLimitEntity } from './rate-limit.entity.js';
import { RateLimitsHousekeeping } from './rate-limits.housekeeping.js';
import { RateLimiter } from './rate-limiter.js';

/** How often something may happen, and how much one request may ask for and one user may own. */
// Global, because every module admits requests, and a team's module may.
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([RateLimitEntity])],
  providers: [RateLimiter, RateLimitsHousekeeping, LimitRefusals],
  exports: [RateLimiter],
})
export class AdmissionModule {}
