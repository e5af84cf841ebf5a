import { createHash, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';
import { Environment } from '../config/environment.js';
import { originOfRequest } from '../matrix/client-origin.decorator.js';
import { Parameters, readForm, readQuery } from '../matrix/form-body.js';
import { OAuthError } from '../matrix/oauth-error.js';
import { Clock } from '../system/clock.js';
import { Entropy } from '../system/entropy.js';
import { BROWSER_SESSION_LIFE_MS, BrowserSessions } from './browser/browser-sessions.service.js';
import { Cookies } from './browser/cookies.js';
import { LookService } from './look.service.js';
import { PageRefusal } from './page.js';
import { textsFor } from './texts/languages.js';
import type { SignedInVisit, Visit } from './visit.js';

const VISITOR_BYTES = 32;
/** How long people may take elsewhere to prove who they are. */
const STATE_LIFE_MS = 60 * 60_000;

/** A form that a page of this service has sent. */
export interface Posted {
  readonly visit: Visit;
  readonly form: Parameters;
}

/** Finds out who visits a page, and whether a form comes from one of the pages. */
@Injectable()
export class Visits {
  private readonly cookies: Cookies;
  private readonly origins: ReadonlySet<string>;

  constructor(
    environment: Environment,
    private readonly browsers: BrowserSessions,
    private readonly looks: LookService,
    private readonly entropy: Entropy,
    private readonly clock: Clock,
  ) {
    const { pagesUrl } = environment.oauth;
    this.cookies = new Cookies(pagesUrl.startsWith('https:'));
    // The fallback pages are below the address of the client-server API.
    this.origins = new Set([pagesUrl, environment.publicBaseUrl].map((url) => new URL(url).origin));
  }

  /** Opens a page. Gives the browser a cookie, so that the forms of the page can be told from those of others. */
  async open(request: Request, response: Response, form?: Parameters): Promise<Visit> {
    const cookie = this.cookies.read(request, 'session');
    const signedIn = cookie === null ? null : await this.browsers.find(cookie);
    const secret =
      (signedIn === null ? this.cookies.read(request, 'visitor') : cookie) ?? this.greet(response);
    const query = readQuery(request);
    const texts = textsFor(localesIn(query) ?? localesIn(form), request.headers['accept-language']);
    return {
      query,
      signedIn,
      origin: originOfRequest(request),
      texts,
      context: { texts, look: this.looks.look, csrf: digestOf('csrf', secret) },
      stateFor: (next) => this.stateOf(secret, next, this.clock.now().getTime()),
      isState: (state, next) => this.isState(secret, state, next),
      request,
      response,
      url: request.originalUrl,
    };
  }

  /**
   * Reads a form that was sent from a page.
   * @throws {PageRefusal} 403 if it comes from elsewhere, or is older than the browser's cookie
   */
  async post(request: Request, response: Response): Promise<Posted> {
    const form = await readForm(request);
    const visit = await this.open(request, response, form);
    // The audit names the user of a refused request.
    request.body = { username: visit.signedIn?.account.userId ?? form.get('username') };
    if (!this.isFromHere(request) || !isSame(form.get('csrf') ?? '', visit.context.csrf))
      throw new PageRefusal(403, 'forbidden');
    return { visit, form };
  }

  /** The same, for forms that need somebody who is signed in. */
  async postSignedIn(
    request: Request,
    response: Response,
  ): Promise<{ readonly visit: SignedInVisit; readonly form: Parameters }> {
    const { visit, form } = await this.post(request, response);
    if (!isSignedIn(visit)) throw new PageRefusal(403, 'gone');
    return { visit, form };
  }

  /** Signs the browser in. */
  signIn(response: Response, cookie: string): void {
    this.cookies.set(response, 'session', cookie, BROWSER_SESSION_LIFE_MS);
  }

  signOut(response: Response): void {
    this.cookies.set(response, 'session', '', 0);
  }

  /** Gives the browser a cookie. */
  private greet(response: Response): string {
    const secret = this.entropy.bytes(VISITOR_BYTES).toString('base64url');
    this.cookies.set(response, 'visitor', secret, null);
    return secret;
  }

  private stateOf(secret: string, next: string, at: number): string {
    return `${at}.${digestOf(`state ${at} ${next}`, secret)}`;
  }

  private isState(secret: string, state: string, next: string): boolean {
    const at = Number.parseInt(state, 10);
    const isRecent = Math.abs(this.clock.now().getTime() - at) < STATE_LIFE_MS;
    return isRecent && isSame(state, this.stateOf(secret, next, at));
  }

  /** Browsers say where a form comes from. The pages send no referrer, so for these the origin may be `null`. */
  private isFromHere({ headers }: Request): boolean {
    const { origin, 'sec-fetch-site': site = 'same-origin' } = headers;
    const isKnown = origin === undefined || origin === 'null' || this.origins.has(origin);
    return isKnown && (site === 'same-origin' || site === 'none');
  }
}

export function isSignedIn(visit: Visit): visit is SignedInVisit {
  return visit.signedIn !== null;
}

/** The languages that an app asks for, in its own request or in the one that goes on after this page. */
function localesIn(parameters: Parameters | undefined): string | null {
  const direct = parameters?.get('ui_locales') ?? null;
  const next = parameters?.get('continue') ?? null;
  if (direct !== null || next === null || !next.includes('?')) return direct;
  try {
    return Parameters.parse(next.slice(next.indexOf('?') + 1)).get('ui_locales');
  } catch (error) {
    if (error instanceof OAuthError) return null;
    throw error;
  }
}

function digestOf(purpose: string, secret: string): string {
  return createHash('sha256').update(`${purpose} ${secret}`).digest('base64url');
}

/** Compares without telling by the time how much is alike. */
function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
