import { Module } from '@nestjs/common';
import { HealthController } from './health.controller.js';

/** Health of this node. */
@Module({ controllers: [HealthController] })
export class HealthModule {}
