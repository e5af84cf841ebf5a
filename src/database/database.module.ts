import { Global, Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Environment } from '../config/environment.js';
import {
  type DatabaseLocation,
  dataSourceOptions,
  type MigrationClass,
  openDataSource,
} from './data-source.js';
import { UnitOfWork } from './unit-of-work.js';

@Global()
@Module({ providers: [UnitOfWork], exports: [UnitOfWork] })
export class DatabaseModule {
  static forRoot(location: DatabaseLocation, migrations: readonly MigrationClass[]): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRootAsync({
          inject: [Environment],
          useFactory: (environment: Environment) => ({
            ...dataSourceOptions(location, environment.databasePoolSize, migrations),
            autoLoadEntities: true,
            toRetry: () => false,
          }),
          dataSourceFactory: (options) => openDataSource(options!),
        }),
      ],
    };
  }
}
