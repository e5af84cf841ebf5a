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
  /** Names this browser to a place that sends it back. Others who know it cannot send forms with it. */
  readonly state: string;
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
