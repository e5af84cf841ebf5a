import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { RateLimitEntity } from './rate-limit.entity.js';
import { RateLimitsHousekeeping } from './rate-limits.housekeeping.js';
import { RateLimiter } from './rate-limiter.js';

@Module({
  imports: [TypeOrmModule.forFeature([RateLimitEntity])],
  providers: [RateLimiter, RateLimitsHousekeeping],
  exports: [RateLimiter],
})
export class RateLimitsModule {}
