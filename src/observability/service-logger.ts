import type { LoggerService } from '@nestjs/common';
import { type DestinationStream, type Logger as Pino, pino, stdTimeFunctions } from 'pino';
import type { Environment } from '../config/environment.js';

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

const STACK = /^\s+at /m;

export type Level = Environment['logLevel'];

/** What the log of a process needs to know. */
export type LogSettings = Pick<Environment, 'production' | 'logLevel'>;

/** Nest's logger, on pino: lines of JSON in production, readable ones elsewhere. */
export class ServiceLogger implements LoggerService {
  /** Lines of JSON are written in the background, so that a slow reader does not hold up requests. */
  static async open({ production, logLevel }: LogSettings, to?: DestinationStream): Promise<ServiceLogger> {
    const destination =
      to ?? (production ? pino.destination({ fd: 1, sync: false }) : await readableLines(process.stdout));
    return new ServiceLogger(
      pino(
        {
          level: logLevel,
          base: production ? { pid: process.pid } : null,
          messageKey: 'message',
          timestamp: stdTimeFunctions.isoTime,
          formatters: { level: (level) => ({ level }) },
        },
        destination,
      ),
      logLevel,
    );
  }

  private constructor(
    private readonly lines: Pino,
    /** The level at the start: `LOG_LEVEL`. */
    readonly levelAtStart: Level,
  ) {}

  get level(): Level {
    return this.lines.level as Level;
  }

  set level(level: Level) {
    this.lines.level = level;
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.write('trace', message, rest);
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.write('debug', message, rest);
  }

  log(message: unknown, ...rest: unknown[]): void {
    this.write(CHATTY.has(String(rest.at(-1))) ? 'debug' : 'info', message, rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.write('warn', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    if (!TOLD_ELSEWHERE.has(rest.at(-1))) this.write('error', message, rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.write('fatal', message, rest);
  }

  /** Writes what is still held in memory. For the end of the process. */
  flush(): void {
    this.lines.flush();
  }

  /** Nest passes the context last, and the stack of an error before it. An object becomes fields of the line. */
  private write(level: Level, message: unknown, rest: readonly unknown[]): void {
    if (!this.lines.isLevelEnabled(level)) return;
    const words = rest.filter((one) => typeof one === 'string');
    const stack = words.find((one) => STACK.test(one));
    const context = words.findLast((one) => one !== stack);
    const fields = {
      ...(context === undefined ? {} : { context }),
      ...(stack === undefined ? {} : { stack }),
    };
    if (message instanceof Error) this.lines[level]({ ...fields, stack: message.stack }, message.message);
    else if (typeof message === 'object' && message !== null) this.lines[level]({ ...fields, ...message });
    else this.lines[level](fields, String(message));
  }
}

/** Lines for people. The library is loaded only where it is used. */
export async function readableLines(destination: NodeJS.WriteStream): Promise<DestinationStream> {
  const { default: pretty } = await import('pino-pretty');
  return pretty({
    colorize: destination.isTTY,
    messageKey: 'message',
    translateTime: 'SYS:HH:MM:ss.l',
    // What the message of a request says already, and what is put into the message below.
    ignore: 'context,stack,method,route,status,duration_ms,request_id,trace_id',
    messageFormat: (line) => wordsOf(line),
    singleLine: true,
    // Not the descriptor, so that test runners can tell whose output it is.
    destination,
  });
}

function wordsOf(line: Readonly<Record<string, unknown>>): string {
  const { context, message, stack } = line as { context?: string; message?: string; stack?: string };
  const words = context === undefined ? (message ?? '') : `[${context}] ${message}`;
  return stack === undefined ? words : `${words}\n${stack}`;
}
