import type { DynamicModule, LogLevel } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import type { Environment } from './config/environment.js';
import type { DatabaseLocation } from './database/data-source.js';
import { speakMatrix } from './matrix/http.js';
import { serveApiDocs } from './matrix/open-api.js';
import { QuietBootLogger } from './quiet-boot.logger.js';

const NEST_LEVELS: LogLevel[] = ['verbose', 'debug', 'log', 'warn', 'error', 'fatal'];
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

/**
 * The service, ready to listen: the one way in which it is put together, in production and in tests.
 * @param extensions modules of a team's own
 */
export async function createApplication(
  environment: Environment,
  database: DatabaseLocation,
  extensions: DynamicModule['imports'] = [],
): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(
    AppModule.forRoot(environment, database, extensions),
    {
      bodyParser: false,
      abortOnError: false,
      logger: new QuietBootLogger({
        json: environment.production,
        logLevels: NEST_LEVELS.slice(LEVELS.indexOf(environment.logLevel)),
      }),
    },
  );
  speakMatrix(app);
  serveApiDocs(app, environment.publicBaseUrl);
  return app;
}
