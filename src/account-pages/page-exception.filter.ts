import { type ArgumentsHost, Catch, type ExceptionFilter, Injectable, Logger } from '@nestjs/common';
import type { Request, Response } from 'express';
import { logFailure } from '../matrix/failures.js';
import { ErrorAnswer, MatrixError } from '../matrix/matrix-error.js';
import { OAuthError } from '../matrix/oauth-error.js';
import { Refusals } from '../matrix/refusals.js';
import { unavailableIn } from '../system/outage.js';
import { LookService } from './look.service.js';
import { PageElsewhere, PageRefusal } from './page.js';
import { PageSender } from './page-sender.js';
import { PageTemplates } from './page-templates.js';
import { textsFor } from './texts/languages.js';
import type { LinkTo } from './templates/views.js';
import type { Texts } from './texts/en.js';

/** An error, as a page shows it. */
interface Problem {
  readonly status: number;
  readonly problem: keyof Texts['problems'];
  readonly headers?: Readonly<Record<string, string>>;
}

/** Turns everything that was thrown into a page that a person can read. */
@Catch()
@Injectable()
export class PageExceptionFilter implements ExceptionFilter {
  private readonly logger = new Logger(PageExceptionFilter.name);

  constructor(
    private readonly sender: PageSender,
    private readonly templates: PageTemplates,
    private readonly looks: LookService,
    private readonly refusals: Refusals,
  ) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    if (exception instanceof PageElsewhere) return this.sender.redirect({ response }, exception.url);
    const { status, problem, headers = {} } = problemOf(exception);
    const errorId = status === 500 ? logFailure(this.logger, request, exception) : null;
    if (exception instanceof ErrorAnswer) this.refusals.refused(request, exception);
    if (response.headersSent) return void response.end();
    const texts = textsFor(null, request.headers['accept-language']);
    const [title, words] = texts.problems[problem] as readonly [string, string];
    const text = errorId === null ? words : `${words} (errorId ${errorId})`;
    this.sender.show(
      { response, context: { texts, look: this.looks.look, csrf: '' } },
      { title, content: this.templates.message(title, text, linkOf(problem, texts)), status, headers },
    );
  }
}

function problemOf(exception: unknown): Problem {
  if (exception instanceof PageRefusal) return { status: exception.status, problem: exception.problem };
  const unavailable = unavailableIn(exception);
  if (unavailable !== undefined) return later(String(Math.ceil(unavailable.retryAfterMs / 1_000)));
  if (exception instanceof OAuthError) return { status: 400, problem: 'badRequest' };
  if (!(exception instanceof MatrixError)) return { status: 500, problem: 'broken' };
  const { status, headers } = exception;
  if (status === 404) return { status, problem: 'notFound' };
  if (status === 429) return { status, problem: 'tooMany', headers };
  if (status === 503) return later(headers['Retry-After'] ?? '2');
  // The user may not act any more, or has been signed out meanwhile.
  if (status === 401 || status === 403) return { status: 403, problem: 'gone' };
  return { status: status === 413 ? 413 : 400, problem: 'badRequest' };
}

/** Who was signed out can sign in again. */
function linkOf(problem: Problem['problem'], { signIn }: Texts): LinkTo | null {
  return problem === 'gone' ? { url: '/account/login', text: signIn.title } : null;
}

function later(retryAfter: string): Problem {
  return { status: 503, problem: 'unavailable', headers: { 'Retry-After': retryAfter } };
}
