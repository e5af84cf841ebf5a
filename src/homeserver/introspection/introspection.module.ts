import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Environment } from '../../config/environment.js';
import { HomeserverSecret } from '../homeserver-secret.js';
import { HomeserverStore } from '../homeserver.store.js';
import { HomeserverUserEntity } from '../homeserver-user.entity.js';
import { HomeserverUsers } from '../homeserver-users.js';
import { Administrators } from './administrators.js';
import { IntrospectionController } from './introspection.controller.js';
import { IntrospectionService } from './introspection.service.js';

/** What a homeserver asks that trusts the tokens of this service. */
@Module({
  imports: [TypeOrmModule.forFeature([HomeserverUserEntity])],
  controllers: [IntrospectionController],
  providers: [
    Administrators,
    HomeserverStore,
    HomeserverUsers,
    IntrospectionService,
    {
      provide: HomeserverSecret,
      inject: [Environment],
      useFactory: (environment: Environment) => HomeserverSecret.of(environment),
    },
  ],
  exports: [HomeserverStore, HomeserverUsers],
})
export class IntrospectionModule {}
