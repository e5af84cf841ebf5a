import { AsyncLocalStorage } from 'node:async_hooks';
import { hostname } from 'node:os';
import { type Context, type Link, ROOT_CONTEXT, SpanKind, trace, TraceFlags } from '@opentelemetry/api';
import { parseTraceParent } from '@opentelemetry/core';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { OnApplicationShutdown } from '@nestjs/common';
import type { TracingSettings } from '../config/tracing.js';
import { PRODUCT } from '../system/product.js';
import { NO_SPAN, type Span, type SpanOptions, Tracing } from '../system/tracing.js';
import { Collector } from './collector.js';
import { RecordedSpan } from './recorded-span.js';

/** Beyond this many spans that wait for the collector, further ones are lost. */
const MOST_WAITING = 8_192;
/** As many as may share a look-up. */
const MOST_LINKS = 256;
/** How long the last spans may take at the end. */
const LAST_MS = 3_000;

const KINDS = { client: SpanKind.CLIENT, consumer: SpanKind.CONSUMER, server: SpanKind.SERVER };

/** What is being recorded. */
interface Scene {
  readonly span: RecordedSpan;
  /** The spans of others that are served here, too. */
  readonly others?: readonly RecordedSpan[];
  /** Which of those that are served a user is. */
  readonly spanOf?: ((userId: string) => Span | undefined) | undefined;
}

/**
 * Traces by OpenTelemetry. It is loaded only where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and registers nothing for the
 * whole process, so that applications in one process do not mix. It is not in the bundle, so it must not import what is
 * there, such as Nest.
 */
export class OpenTelemetryTracing extends Tracing implements OnApplicationShutdown {
  readonly isOn = true;
  private readonly scenes = new AsyncLocalStorage<Scene | undefined>();
  private readonly provider: TracerProvider;
  private readonly tracer;

  /** @param tell warns that traces do not arrive */
  constructor(
    { url, headers, serviceName, ratio }: TracingSettings & { readonly url: string },
    tell: (words: string) => void,
  ) {
    super();
    const about = {
      'service.name': serviceName,
      'service.version': PRODUCT.version,
      'host.name': hostname(),
      'process.pid': process.pid,
    };
    this.provider = new TracerProvider({
      resource: defaultResource().merge(resourceFromAttributes(about)),
      sampler: new ParentBasedSampler({ root: rootSampler(ratio) }),
      spanLimits: { linkCountLimit: MOST_LINKS },
      spanProcessors: [
        new BatchSpanProcessor({ exporter: new Collector(url, headers, tell), maxQueueSize: MOST_WAITING }),
      ],
    });
    this.tracer = this.provider.getTracer(PRODUCT.name, PRODUCT.version);
  }

  async onApplicationShutdown(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_MS);
    });
    await Promise.race([this.provider.shutdown().catch(() => {}), late]);
    clearTimeout(timer);
  }

  /** Resolves when everything that has ended is at the collector, or lost. */
  flush(): Promise<void> {
    return this.provider.forceFlush();
  }

  span<Result>(name: string, options: SpanOptions, work: (span: Span) => Promise<Result>): Promise<Result> {
    const scene = this.scenes.getStore();
    // Also where the request that has begun this is over: then it is no part of it.
    if (scene === undefined || !scene.span.inner.isRecording()) return work(NO_SPAN);
    const { others = [], spanOf } = scene;
    const links = others.map(linkTo);
    const span = this.start(name, options, trace.setSpan(ROOT_CONTEXT, scene.span.inner), links);
    const back = linkTo(span);
    for (const other of others) other.inner.addLink(back);
    return this.scenes.run({ span, spanOf }, () => record(span, work));
  }

  begin(
    name: string,
    { parent, ...options }: SpanOptions & { readonly parent: string | null },
    work: (span: Span) => void,
  ): void {
    const from = parent === null ? null : parseTraceParent(parent);
    const context =
      from === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...from, isRemote: true });
    const span = this.start(name, options, context);
    if (span.inner.isRecording()) this.scenes.run({ span }, work, span);
    else this.scenes.run(undefined, work, NO_SPAN);
  }

  follow<Result>(
    name: string,
    { link, ...options }: SpanOptions & { readonly link: string | null },
    work: (span: Span) => Promise<Result>,
  ): Promise<Result> {
    const to = link === null ? null : parseTraceParent(link);
    if (to === null) return this.scenes.run(undefined, work, NO_SPAN);
    const span = this.start(name, options, ROOT_CONTEXT, [{ context: { ...to, isRemote: true } }]);
    return this.scenes.run({ span }, () => record(span, work));
  }

  join<Member extends { readonly span: Span }, Result>(
    members: readonly Member[],
    userOf: (member: Member) => string,
    work: () => Promise<Result>,
  ): Promise<Result> {
    const [span, ...others] = members
      .map((member) => member.span)
      .filter((one): one is RecordedSpan => one instanceof RecordedSpan);
    if (span === undefined) return this.scenes.run(undefined, work);
    const spanOf = (userId: string) => members.find((member) => userOf(member) === userId)?.span;
    return this.scenes.run({ span, others, spanOf }, work);
  }

  apart<Result>(work: () => Result): Result {
    return this.scenes.run(undefined, work);
  }

  placeOf(userId: string): string | null {
    const scene = this.scenes.getStore();
    const span = scene?.spanOf?.(userId) ?? scene?.span;
    if (!(span instanceof RecordedSpan) || !span.inner.isRecording()) return null;
    const { traceId, spanId } = span.inner.spanContext();
    return `00-${traceId}-${spanId}-0${TraceFlags.SAMPLED}`;
  }

  private start(name: string, options: SpanOptions, context: Context, links: Link[] = []): RecordedSpan {
    const { kind, attributes = {} } = options;
    const started = { kind: kind === undefined ? SpanKind.INTERNAL : KINDS[kind], attributes, links };
    return new RecordedSpan(this.tracer.startSpan(name, started, context));
  }
}

/** The given share of traces, and each one that follows a recorded one. */
function rootSampler(ratio: number): Sampler {
  const share = new TraceIdRatioBasedSampler(ratio);
  return {
    shouldSample: (_context, traceId, _name, _kind, _attributes, links) =>
      links.length > 0
        ? { decision: SamplingDecision.RECORD_AND_SAMPLED }
        : share.shouldSample(ROOT_CONTEXT, traceId),
    toString: () => `RequestsAndWhatFollows{${share.toString()}}`,
  };
}

function linkTo({ inner }: RecordedSpan): Link {
  return { context: inner.spanContext() };
}

async function record<Result>(span: RecordedSpan, work: (span: Span) => Promise<Result>): Promise<Result> {
  try {
    return await work(span);
  } catch (error) {
    span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}
