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
  /** Of so many digits that it is a text. */
  readonly startTimeUnixNano: string;
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

export type Tree = [name: string, ...children: Tree[]];

/** Kinds and states, as OTLP numbers them. */
export const KIND = { internal: 1, server: 2, client: 3, consumer: 5 };
export const FAILED = 2;

/** An OpenTelemetry collector that keeps what it gets by OTLP over HTTP, in JSON. */
export class CollectorStub {
  static async start(): Promise<CollectorStub> {
    const stub = new CollectorStub();
    await stub.listen();
    return stub;
  }

  /** The bodies, as they came. */
  text = '';
  spans: CollectedSpan[] = [];
  /** The names of the services. */
  readonly names = new Set<Value>();
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

  /** A span with all spans below it, as names; siblings are in the order in which they began. */
  tree(root: CollectedSpan): Tree {
    return [root.name, ...this.childrenOf(root).map((child) => this.tree(child))];
  }

  /** All spans below. */
  below(root: CollectedSpan): CollectedSpan[] {
    return this.childrenOf(root).flatMap((child) => [child, ...this.below(child)]);
  }

  private childrenOf({ spanId, traceId }: CollectedSpan): CollectedSpan[] {
    return this.spans.filter((one) => one.parentSpanId === spanId && one.traceId === traceId);
  }

  private async listen(): Promise<void> {
    this.server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        this.asked.push({ path: request.url!, headers: request.headers });
        this.take(body);
        response.writeHead(this.status, { 'Content-Type': 'application/json' }).end('{}');
      });
    }).listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  private take(body: string): void {
    this.text += body;
    const { resourceSpans } = JSON.parse(body) as Batch;
    for (const { resource, scopeSpans } of resourceSpans) {
      this.names.add(plain(resource.attributes)['service.name']!);
      for (const span of scopeSpans.flatMap(({ spans }) => spans))
        this.spans.push({ ...span, attributes: plain(span.attributes) });
    }
    // Children end before their parents, and batches may overtake each other.
    this.spans.sort((one, other) => (one.startTimeUnixNano < other.startTimeUnixNano ? -1 : 1));
  }
}

function plain(attributes: OtlpSpan['attributes']): Record<string, Value> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]!]));
}
