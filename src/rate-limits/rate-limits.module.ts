import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { RateLimitEntity } from './rate-limit.entity.js';
import { RateLimiter } from './rate-limiter.js';

@Module({
  imports: [TypeOrmModule.forFeature([RateLimitEntity])],
  providers: [RateLimiter],
  exports: [RateLimiter],
})
export class RateLimitsModule {}
