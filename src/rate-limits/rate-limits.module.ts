import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { RateLimitEntity } from './rate-limit.entity.js';
import { RateLimitsHousekeeping } from './rate-limits.housekeeping.js';
import { RateLimiter } from './rate-limiter.js';

/** How often something may happen. */
// Every room counts something, and a team's module may.
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([RateLimitEntity])],
  providers: [RateLimiter, RateLimitsHousekeeping],
  exports: [RateLimiter],
})
export class RateLimitsModule {}
