import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

type Value = string | number | boolean;

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: { key: string; value: Record<string, Value> }[];
  readonly links?: { traceId: string; spanId: string }[];
  readonly status: { code: number; message?: string };
  readonly events?: unknown[];
}

/** A span as the collector got it. */
export interface CollectedSpan extends Omit<OtlpSpan, 'attributes'> {
  readonly attributes: Record<string, Value>;
}

interface Batch {
  readonly resourceSpans: {
    resource: { attributes: OtlpSpan['attributes'] };
    scopeSpans: { spans: OtlpSpan[] }[];
  }[];
}

/** Kinds and states, as OTLP numbers them. */
export const KIND = { internal: 1, server: 2, client: 3, consumer: 5 };
export const FAILED = 2;

/** An OpenTelemetry collector that keeps what it gets by OTLP over HTTP, in JSON. */
export class CollectorStub {
  static async start(): Promise<CollectorStub> {
    const stub = new CollectorStub();
    await stub.listen(0);
    return stub;
  }

  /** The bodies, as they came. */
  text = '';
  spans: CollectedSpan[] = [];
  resource: Record<string, Value> = {};
  /** What it answers. */
  status = 200;
  readonly asked: { path: string; headers: IncomingHttpHeaders }[] = [];
  private server: Server | undefined;

  get url(): string {
    return `http://127.0.0.1:${(this.server!.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server!.closeAllConnections();
    await new Promise((resolve) => this.server!.close(resolve));
  }

  /** All spans of the trace that this one is in, as a tree of names; siblings are in the order of their begin. */
  tree(root: CollectedSpan): [name: string, ...children: unknown[]] {
    const children = this.spans.filter((one) => one.parentSpanId === root.spanId);
    return [root.name, ...children.map((child) => this.tree(child))];
  }

  /** The trace of the latest request of this route. */
  latest(name: string): CollectedSpan {
    return this.spans.findLast((one) => one.name === name)!;
  }

  below(root: CollectedSpan): CollectedSpan[] {
    const children = this.spans.filter((one) => one.parentSpanId === root.spanId);
    return children.flatMap((child) => [child, ...this.below(child)]);
  }

  private async listen(port: number): Promise<void> {
    this.server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        this.asked.push({ path: request.url!, headers: request.headers });
        this.take(body);
        response.writeHead(this.status, { 'Content-Type': 'application/json' }).end('{}');
      });
    }).listen(port, '127.0.0.1');
    await once(this.server, 'listening');
  }

  private take(body: string): void {
    this.text += body;
    const { resourceSpans } = JSON.parse(body) as Batch;
    for (const { resource, scopeSpans } of resourceSpans) {
      this.resource = plain(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans }) => spans))
        this.spans.push({ ...span, attributes: plain(span.attributes) });
    }
    // Children end before their parents, and batches may overtake each other.
    this.spans.sort((one, other) => begin(one) - begin(other));
  }
}

function begin(span: object): number {
  return Number((span as { startTimeUnixNano: string }).startTimeUnixNano);
}

function plain(attributes: OtlpSpan['attributes']): Record<string, Value> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]!]));
}
