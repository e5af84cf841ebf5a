import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import type { Composition } from './composition.js';
import { FrontModule } from './discovery/front.module.js';
import { matrixExpress } from './matrix/http.js';
import { serveApiDocs } from './matrix/open-api.js';
import { LogModule } from './observability/observability.module.js';
import { ServiceLogger } from './observability/service-logger.js';
import { withoutPasswordLogin } from './session/login/login.open-api.js';

class WholeApplication {}

/**
 * Makes the service, ready to listen. Production and tests both use it. It connects to the database and brings the
 * schema up to date. Each call makes a new application.
 * @throws {EnvironmentError} for an invalid variable, or an invalid file that a variable names
 *
 * @example
 * ```ts
 * const environment = Environment.load(process.env);
 * const database = { url: environment.databaseUrl! };
 * const app = await createApplication({
 *   environment,
 *   database,
 *   extensions: [PushersModule],
 *   migrations: [CreatePushers],
 * });
 * await app.listen(environment.port, environment.host);
 * ```
 */
export async function createApplication(
  composition: Composition,
  log?: ServiceLogger,
): Promise<NestExpressApplication> {
  const { environment } = composition;
  const logger = log ?? (await ServiceLogger.open(environment));
  const app = await NestFactory.create<NestExpressApplication>(
    // FrontModule comes last, so that another team's module can serve its own page at /.
    {
      module: WholeApplication,
      imports: [AppModule.forRoot(composition), LogModule.of(logger), FrontModule],
    },
    matrixExpress(environment.trustProxy, {
      keepAliveMs: environment.keepAliveTimeoutMs,
      requestMs: environment.requestTimeoutMs,
      maxConnections: environment.maxConnections,
    }),
    { abortOnError: false, logger },
  );
  const { without = [] } = composition;
  const edit = without.includes('password-login') ? withoutPasswordLogin : undefined;
  if (environment.apiDocs) serveApiDocs(app, environment.publicBaseUrl, edit);
  return app;
}
