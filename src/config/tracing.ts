import * as z from 'zod';
import { isPlainHttpUrl } from './urls.js';

/** `key=value` pairs in the form of W3C Baggage, as OpenTelemetry has it. */
const HEADERS = /^\s*[\w!#$%&'*+.^`|~-]+\s*=[^,]*(,\s*[\w!#$%&'*+.^`|~-]+\s*=[^,]*)*$/;
const RATIO = 'a number from 0 to 1';

/** Where traces go; the names and their meaning are those of OpenTelemetry. */
export const tracingVariables = {
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .string()
    .refine(isPlainHttpUrl, 'a URL that starts with http:// or https://, without a user or a password')
    .optional()
    .describe(
      'Base URL of the OpenTelemetry collector that traces are sent to, such as http://localhost:4318; /v1/traces is appended. Default: none, and nothing is traced.',
    ),
  OTEL_EXPORTER_OTLP_HEADERS: z
    .string()
    .regex(HEADERS, 'headers such as authorization=Bearer%20x, separated by commas')
    .optional()
    .describe(
      'Headers for the collector, such as authorization=Bearer%20x, separated by commas. Default: none.',
    ),
  OTEL_SERVICE_NAME: z
    .string()
    .default('matrix-session-service')
    .describe('The name of this service in traces.'),
  OTEL_TRACES_SAMPLER_ARG: z.coerce
    .number({ error: RATIO })
    .min(0, RATIO)
    .max(1, RATIO)
    .default(1)
    .describe('Which share of requests is traced, unless a proxy in front has decided.'),
};

type Parsed = z.infer<z.ZodObject<typeof tracingVariables>>;

/** Where traces go, and how many. */
export interface TracingSettings {
  /** `null`: nowhere. */
  readonly url: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly ratio: number;
}

export function tracingOf(parsed: Parsed): TracingSettings {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: base, OTEL_EXPORTER_OTLP_HEADERS: headers } = parsed;
  return {
    url: base === undefined ? null : tracesUrl(base),
    headers: headers === undefined ? {} : headersOf(headers),
    serviceName: parsed.OTEL_SERVICE_NAME,
    ratio: parsed.OTEL_TRACES_SAMPLER_ARG,
  };
}

function tracesUrl(base: string): string {
  const url = new URL(base);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`;
  return url.href;
}

function headersOf(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => {
    const at = pair.indexOf('=');
    return [pair.slice(0, at).trim(), decoded(pair.slice(at + 1).trim())];
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** A percent sign may also stand for itself. */
function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
