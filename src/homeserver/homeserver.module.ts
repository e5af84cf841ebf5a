import { Module } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { HomeserverSecret } from './homeserver-secret.js';
import { IntrospectionController } from './introspection.controller.js';
import { IntrospectionService } from './introspection.service.js';

/** What a homeserver asks that trusts the tokens of this service. */
@Module({
  controllers: [IntrospectionController],
  providers: [
    IntrospectionService,
    {
      provide: HomeserverSecret,
      inject: [Environment],
      useFactory: (environment: Environment) => HomeserverSecret.load(environment),
    },
  ],
})
export class HomeserverModule {}
