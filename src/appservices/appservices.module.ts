import { type DynamicModule, Module } from '@nestjs/common';
import type { Environment } from '../config/environment.js';
import { AppserviceRegistry } from './appservice-registry.js';

/** Which application services there are, and whom they may act for. */
@Module({})
export class AppservicesModule {
  /** @throws {EnvironmentError} for a registration file that is not right */
  static forRoot(environment: Environment): DynamicModule {
    return {
      module: AppservicesModule,
      global: true,
      providers: [{ provide: AppserviceRegistry, useValue: AppserviceRegistry.load(environment) }],
      exports: [AppserviceRegistry],
    };
  }
}
