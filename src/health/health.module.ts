import { Module } from '@nestjs/common';
import { HealthController } from './health.controller.js';

/** Whether this node is well. */
@Module({ controllers: [HealthController] })
export class HealthModule {}
