import { isatty } from 'node:tty';
import type { LogLevel } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import type { Composition } from './composition.js';
import type { Environment } from './config/environment.js';
import { FrontModule } from './discovery/front.module.js';
import { matrixExpress } from './matrix/http.js';
import { serveApiDocs } from './matrix/open-api.js';
import { QuietBootLogger } from './quiet-boot.logger.js';
import { withoutPasswordLogin } from './session/login/login.open-api.js';

const NEST_LEVELS: LogLevel[] = ['verbose', 'debug', 'log', 'warn', 'error', 'fatal'];
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

class WholeApplication {}

/** The levels of Nest's logger from a `LOG_LEVEL` on. */
export function levelsOf(logLevel: Environment['logLevel']): LogLevel[] {
  return NEST_LEVELS.slice(LEVELS.indexOf(logLevel));
}

/**
 * The service, ready to listen: the one way in which it is put together, in production and in tests. It connects to the
 * database and brings the schema up to date; each call makes an application of its own.
 * @throws {EnvironmentError} for a variable, or a file that one names, that is not right
 *
 * @example
 * ```ts
 * const environment = Environment.load(process.env);
 * const database = { url: environment.databaseUrl! };
 * const app = await createApplication({ environment, database, extensions: [PushersModule], migrations:
 * [CreatePushers] }); await app.listen(environment.port, environment.host);
 * ```
 */
export async function createApplication(composition: Composition): Promise<NestExpressApplication> {
  const { environment } = composition;
  const app = await NestFactory.create<NestExpressApplication>(
    // A page at / of a module of a team comes before ours.
    { module: WholeApplication, imports: [AppModule.forRoot(composition), FrontModule] },
    matrixExpress(environment.trustProxy, {
      keepAliveMs: environment.keepAliveTimeoutMs,
      requestMs: environment.requestTimeoutMs,
    }),
    {
      abortOnError: false,
      logger: new QuietBootLogger({
        json: environment.production,
        colors: isatty(process.stdout.fd) && !environment.production,
        logLevels: levelsOf(environment.logLevel),
      }),
    },
  );
  const { without = [] } = composition;
  const edit = without.includes('password-login') ? withoutPasswordLogin : undefined;
  if (environment.apiDocs) serveApiDocs(app, environment.publicBaseUrl, edit);
  return app;
}
