import { LOG_LEVELS } from '../../config/environment.js';
import { ServiceLogger } from '../../observability/service-logger.js';
import { stackOf } from '../../system/stack.js';
import { reasonOf } from '../start-failure.js';
import type { Variables } from '../variables.js';

/** How a process that serves speaks of itself: in lines of JSON in production, and in words elsewhere. */
export class Voice {
  static async open({ values }: Variables): Promise<Voice> {
    if (values['NODE_ENV'] !== 'production') return new Voice(null);
    // The configuration may be wrong, and that must be said in JSON, too.
    const logLevel = LOG_LEVELS.find((level) => level === values['LOG_LEVEL']) ?? 'info';
    const jsonLines = await ServiceLogger.open({ production: true, logLevel });
    speakJson(jsonLines);
    return new Voice(jsonLines);
  }

  private constructor(readonly jsonLines: ServiceLogger | null) {}

  /** @param line what is said in a line of JSON instead */
  say(words: string, line = words): void {
    if (this.jsonLines === null) console.log(words);
    else this.jsonLines.log(line);
  }

  warn(words: string): void {
    if (this.jsonLines === null) console.error(words);
    else this.jsonLines.warn(words);
  }

  /** Tells why something failed. */
  tell(error: unknown): void {
    if (this.jsonLines === null) console.error(reasonOf(error));
    else this.jsonLines.error(reasonOf(error));
  }
}

/** Logs uncaught errors and Node's warnings as JSON, because Node itself prints them as text. */
function speakJson(logger: ServiceLogger): void {
  process.once('uncaughtException', (error) => {
    logger.error(`Nobody caught this: ${stackOf(error)}`);
    process.exit(1);
  });
  // With `--no-warnings` Node has no listener.
  if (process.listenerCount('warning') === 0) return;
  process.removeAllListeners('warning');
  process.on('warning', (warning: Error & { code?: string }) => {
    const { name, message, code } = warning;
    logger.warn(`${name}${code === undefined ? '' : ` [${code}]`}: ${message}`);
  });
}
