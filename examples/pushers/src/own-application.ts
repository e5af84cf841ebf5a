import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  AppModule,
  type DatabaseLocation,
  EmbeddedPostgres,
  Environment,
  matrixExpress,
} from 'matrix-session-service';
import { CreatePushers1764100000000 } from './create-pushers.migration.js';
import { PushersModule } from './pushers.module.js';

const environment = Environment.load(process.env);
const DATABASE = Symbol('DATABASE');

/** What the rest of your application has; here, which database it is. */
@Module({
  providers: [
    {
      provide: DATABASE,
      useFactory: async (): Promise<DatabaseLocation> => {
        const { databaseUrl, dataDir } = environment;
        return databaseUrl ? { url: databaseUrl } : (await EmbeddedPostgres.start({ dataDir })).location;
      },
    },
  ],
  exports: [DATABASE],
})
class SettingsModule {}

@Module({
  imports: [
    AppModule.forRootAsync({
      imports: [SettingsModule],
      inject: [DATABASE],
      useFactory: (database: DatabaseLocation) => ({ environment, database }),
      extensions: [PushersModule.forRoot({ workersUrl: null })],
      migrations: [CreatePushers1764100000000],
    }),
  ],
})
class RootModule {}

const app = await NestFactory.create(RootModule, matrixExpress(environment.trustProxy));
app.enableShutdownHooks();
await app.listen(environment.port, environment.host);
console.log(`My application at ${await app.getUrl()}`);
