import { ConsoleLogger } from '@nestjs/common';

/** Who reports each module and route at every start; worth a line only to those who debug. */
const CHATTY = new Set([
  'InstanceLoader',
  'RoutesResolver',
  'RouterExplorer',
  'NestFactory',
  'NestApplication',
]);

/** Whoever starts the application is told by a rejection, and says it once. */
const TOLD_ELSEWHERE = new Set<unknown>(['ExceptionHandler', 'NestApplication']);

/** Nest's console logger, without the sixty lines of a start that would hide the one that matters. */
export class QuietBootLogger extends ConsoleLogger {
  override log(message: unknown, ...rest: unknown[]): void {
    const context = rest.at(-1);
    if (typeof context === 'string' && CHATTY.has(context)) {
      super.debug(message, ...rest);
    } else {
      super.log(message, ...rest);
    }
  }

  override error(message: unknown, ...rest: unknown[]): void {
    if (!TOLD_ELSEWHERE.has(rest.at(-1))) super.error(message, ...rest);
  }
}
