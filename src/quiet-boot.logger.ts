import { ConsoleLogger } from '@nestjs/common';

/** Contexts that report each module and route at every start, which is useful only for debugging. */
const CHATTY = new Set([
  'InstanceLoader',
  'RoutesResolver',
  'RouterExplorer',
  'NestFactory',
  'NestApplication',
]);

/** Contexts whose errors also reject the start, so that the caller reports them. */
const TOLD_ELSEWHERE = new Set<unknown>(['ExceptionHandler', 'NestApplication']);

/** Nest's console logger, without the sixty lines of a start that would hide the important one. */
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
