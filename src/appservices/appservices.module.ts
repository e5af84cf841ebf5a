import { Global, Module } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { AppserviceRegistry } from './appservice-registry.js';

/** Which application services there are, and whom they may act for. A file that is not right stops the start. */
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
