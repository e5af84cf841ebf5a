import type { Html } from './html.js';

/** A page that a handler answers with. */
export interface Page {
  readonly title: string;
  readonly content: Html;
  /** Default: 200. */
  readonly status?: number;
  /** Where its forms may lead besides this service, as a source of the Content Security Policy. */
  readonly formAction?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A page is refused: the handler has nothing to show but this. */
export class PageRefusal extends Error {
  constructor(
    readonly status: number,
    /** Which text of `texts.problems` the page has. */
    readonly problem: 'badRequest' | 'forbidden' | 'gone' | 'notFound' | 'unknownClient' | 'closed',
  ) {
    super(problem);
  }
}

/** The page has another host. */
export class PageElsewhere extends Error {
  constructor(readonly url: string) {
    super('The page has another host');
  }
}
