/** What a span says besides its name: never a secret, a value of a statement, or what a client has typed. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanOptions {
  /** Default: something inside this service. */
  readonly kind?: 'client' | 'consumer' | 'server';
  readonly attributes?: SpanAttributes;
}

/** One piece of work in a trace. */
export interface Span {
  /** `null` if nothing is recorded. */
  readonly traceId: string | null;
  name(name: string): void;
  add(attributes: SpanAttributes): void;
  /** Records of which kind the error or the HTTP status is, and not its message, which may hold anything. */
  fail(error: unknown): void;
  end(): void;
}

/** The span of what is not recorded. */
export const NO_SPAN: Span = {
  traceId: null,
  name() {},
  add() {},
  fail() {},
  end() {},
};

/** Records what a request does. Its methods never fail, and call `work` at once, whether they record it or not. */
export abstract class Tracing {
  /** Whether anything may be recorded, for callers that would have to prepare something. */
  abstract readonly isOn: boolean;

  /** Records `work` as a part of what is being recorded. Nothing is recorded if nothing else is. */
  abstract span<Result>(
    name: string,
    options: SpanOptions,
    work: (span: Span) => Promise<Result>,
  ): Promise<Result>;

  /**
   * Begins a trace, or continues another one. The caller ends the span.
   * @param parent a W3C `traceparent`
   */
  abstract begin(
    name: string,
    options: SpanOptions & { readonly parent: string | null },
    work: (span: Span) => void,
  ): void;

  /**
   * Records `work` as a trace of its own that has a link to another one. Nothing is recorded without a link.
   * @param link the W3C `traceparent` of a recorded span
   */
  abstract follow<Result>(
    name: string,
    options: SpanOptions & { readonly link: string | null },
    work: (span: Span) => Promise<Result>,
  ): Promise<Result>;

  /**
   * Records `work` that serves several at once in the trace of the first of them that is recorded. What begins in it
   * has links to the spans of the others, and they have links back.
   */
  abstract join<Member extends { readonly span: Span }, Result>(
    members: readonly Member[],
    userOf: (member: Member) => string,
    work: () => Promise<Result>,
  ): Promise<Result>;

  /** Runs what is no part of what is being recorded, although it begins there. */
  abstract apart<Result>(work: () => Result): Result;

  /** Where the current work is recorded that concerns this user, as a W3C `traceparent`; `null` if it is not. */
  abstract placeOf(userId: string): string | null;
}

/** Records nothing. */
export class NoTracing extends Tracing {
  readonly isOn = false;

  span<Result>(_name: string, _options: SpanOptions, work: (span: Span) => Promise<Result>): Promise<Result> {
    return work(NO_SPAN);
  }

  begin(_name: string, _options: SpanOptions, work: (span: Span) => void): void {
    work(NO_SPAN);
  }

  follow<Result>(
    _name: string,
    _options: SpanOptions,
    work: (span: Span) => Promise<Result>,
  ): Promise<Result> {
    return work(NO_SPAN);
  }

  join<Result>(_members: unknown, _userOf: unknown, work: () => Promise<Result>): Promise<Result> {
    return work();
  }

  apart<Result>(work: () => Result): Result {
    return work();
  }

  placeOf(): null {
    return null;
  }
}
