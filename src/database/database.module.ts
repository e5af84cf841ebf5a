import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Environment } from '../config/environment.js';
import { DatabaseSetup, dataSourceOptions, openDataSource } from './data-source.js';
import { Housekeeping } from './housekeeping.js';
import { UnitOfWork } from './unit-of-work.js';

@Global()
@Module({
  imports: [
    TypeOrmModule.forRootAsync({
      inject: [Environment, DatabaseSetup],
      useFactory: (environment: Environment, { location, migrations }: DatabaseSetup) => ({
        ...dataSourceOptions(location, environment.databasePoolSize, {
          // A hanging listener may be waiting for a statement.
          statementTimeoutMs: environment.eventListenerTimeoutMs,
          extensions: migrations,
          settings: environment.databaseSettings,
        }),
        autoLoadEntities: true,
        isMigrating: environment.migrate,
        toRetry: () => false,
      }),
      dataSourceFactory: (options) =>
        openDataSource(options!, (options as { isMigrating?: boolean }).isMigrating),
    }),
  ],
  providers: [UnitOfWork, Housekeeping],
  exports: [UnitOfWork, Housekeeping],
})
export class DatabaseModule {}
