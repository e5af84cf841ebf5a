import { Module } from '@nestjs/common';
import { CapabilitiesController } from './capabilities.controller.js';
import { DiscoveryController } from './discovery.controller.js';

@Module({ controllers: [DiscoveryController, CapabilitiesController] })
export class DiscoveryModule {}
