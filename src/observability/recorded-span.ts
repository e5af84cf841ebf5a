import { type Span as OpenTelemetrySpan, SpanStatusCode } from '@opentelemetry/api';
import type { Span, SpanAttributes } from '../system/tracing.js';

/** SQLSTATE, the codes of Node and those of Matrix. */
const CODE = /^[\w.]{3,64}$/;

/** A span of OpenTelemetry. */
export class RecordedSpan implements Span {
  constructor(readonly inner: OpenTelemetrySpan) {}

  get traceId(): string {
    return this.inner.spanContext().traceId;
  }

  name(name: string): void {
    this.inner.updateName(name);
  }

  add(attributes: SpanAttributes): void {
    this.inner.setAttributes(attributes);
  }

  fail(error: unknown): void {
    this.inner.setAttribute('error.type', typeOf(error));
    if (!isRefusal(error)) this.inner.setStatus({ code: SpanStatusCode.ERROR });
  }

  end(): void {
    this.inner.end();
  }
}

function typeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'number' ? String(error) : typeof error;
  const { errcode, code } = error as { errcode?: unknown; code?: unknown };
  for (const one of [errcode, code]) if (typeof one === 'string' && CODE.test(one)) return one;
  return error.constructor.name;
}

/** An error that tells the client what is wrong with the request: nothing has failed here. */
function isRefusal(error: unknown): boolean {
  const { status } = (error ?? {}) as { status?: unknown };
  return typeof status === 'number' && status < 500;
}
