import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';

/** How often the log says that traces do not arrive. */
const WARN_MS = 60_000;
const TIMEOUT_MS = 10_000;
const LONGEST_REASON = 200;

/** Posts spans to the collector. If it does not take them they are lost, and the log says so once a minute. */
export class Collector implements SpanExporter {
  private readonly exporter: OTLPTraceExporter;
  private warnedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly url: string,
    headers: Readonly<Record<string, string>>,
    private readonly tell: (words: string) => void,
  ) {
    this.exporter = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: TIMEOUT_MS });
  }

  export(spans: ReadableSpan[], resultCallback: (result: ExportResult) => void): void {
    this.exporter.export(spans, ({ code, error }) => {
      if (code !== ExportResultCode.SUCCESS) this.warn(error);
      // Nobody could do more about it than has been said.
      resultCallback({ code: ExportResultCode.SUCCESS });
    });
  }

  forceFlush(): Promise<void> {
    return this.exporter.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }

  private warn(error: Error | undefined): void {
    const now = performance.now();
    if (now - this.warnedAt < WARN_MS) return;
    this.warnedAt = now;
    const { host } = new URL(this.url);
    const reason = (error?.message || String((error as { code?: unknown })?.code)).slice(0, LONGEST_REASON);
    this.tell(`Traces do not arrive at ${host}, and are lost: ${reason}`);
  }
}
