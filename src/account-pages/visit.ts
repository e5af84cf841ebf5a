import type { Request, Response } from 'express';
import type { Origin } from '../matrix/client-origin.decorator.js';
import type { Parameters } from '../matrix/form-body.js';
import type { SignedIn } from './browser/browser-sessions.service.js';
import type { PageContext } from './templates/views.js';
import type { Texts } from './texts/en.js';

/** One request of a browser for a page. */
export interface Visit {
  /** The parameters of the URL. */
  readonly query: Parameters;
  /** Who is signed in; `null`: nobody. */
  readonly signedIn: SignedIn | null;
  readonly origin: Origin;
  readonly texts: Texts;
  /** Names this browser to a place that sends it back to go on with `next`. Nobody can send forms with it. */
  readonly stateFor: (next: string) => string;
  /** Whether a state is one of this browser's, for this `next` and not older than an hour. */
  readonly isState: (state: string, next: string) => boolean;
  /** What the templates get. */
  readonly context: PageContext;
  readonly request: Request;
  readonly response: Response;
  /** The path and the query of this page. */
  readonly url: string;
}

/** A visit of somebody who is signed in. */
export interface SignedInVisit extends Visit {
  readonly signedIn: SignedIn;
}
