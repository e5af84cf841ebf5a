import { Module } from '@nestjs/common';
import { CapabilitiesController } from './capabilities.controller.js';
import { FrontController } from './front.controller.js';
import { DiscoveryController } from './discovery.controller.js';

@Module({ controllers: [FrontController, DiscoveryController, CapabilitiesController] })
export class DiscoveryModule {}
