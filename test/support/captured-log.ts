import { ServiceLogger } from '../../src/observability/service-logger.js';

/** A line of the log. */
export interface Line {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** The log of an application, in memory. */
export class CapturedLog {
  text = '';

  open(logLevel: 'trace' | 'info' | 'error' = 'trace'): Promise<ServiceLogger> {
    return ServiceLogger.open(
      { production: true, logLevel },
      { write: (line: string) => void (this.text += line) },
    );
  }

  lines(context?: string): Line[] {
    const lines = this.text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
    return context === undefined ? lines : lines.filter((line) => line['context'] === context);
  }
}
