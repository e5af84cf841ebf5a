import { Global, Module } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { AppserviceRegistry } from './appservice-registry.js';

/** The application services and the users they may act for. If a file is invalid, the service does not start. */
@Global()
@Module({
  providers: [
    {
      provide: AppserviceRegistry,
      inject: [Environment],
      useFactory: (environment: Environment) => AppserviceRegistry.load(environment),
    },
  ],
  exports: [AppserviceRegistry],
})
export class AppservicesModule {}
