import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Response } from 'express';
import { CORS_HEADERS } from '../matrix/cors.middleware.js';
import type { MatrixError } from '../matrix/matrix-error.js';
import { Refusals } from '../matrix/refusals.js';
import { LookService } from './look.service.js';
import type { Page } from './page.js';
import { PageTemplates } from './page-templates.js';
import type { Visit } from './visit.js';

/** Sends pages and redirects, with the headers that keep others out of them. */
@Injectable()
export class PageSender {
  private readonly policy: string;

  constructor(
    private readonly templates: PageTemplates,
    private readonly refusals: Refusals,
    { look }: LookService,
  ) {
    const style = createHash('sha256').update(templates.style(look)).digest('base64');
    this.policy = [
      "default-src 'none'",
      `style-src 'sha256-${style}'`,
      `script-src ${look.scriptUrl}`,
      "connect-src 'self'",
      ...(look.logoUrl === null ? [] : [`img-src ${look.logoUrl}`]),
      "frame-ancestors 'none'",
      "base-uri 'none'",
    ].join('; ');
  }

  show({ context, response }: Pick<Visit, 'context' | 'response'>, page: Page): void {
    const { title, content, status = 200, formAction, headers = {} } = page;
    harden(response, `${this.policy}; form-action 'self'${formAction === undefined ? '' : ` ${formAction}`}`);
    const html = this.templates.layout(title, content, context).toString();
    response
      .status(status)
      .set({ ...headers, 'Content-Type': 'text/html; charset=utf-8' })
      .send(html);
  }

  /** Tells those who want to know that a form was refused, before its page is shown again. */
  refused({ request }: Pick<Visit, 'request'>, error: MatrixError): void {
    this.refusals.refused(request, error);
  }

  /** Answers the script of the pages. */
  tell({ response }: Pick<Visit, 'response'>, body: object): void {
    harden(response, "default-src 'none'; frame-ancestors 'none'");
    response.status(200).json(body);
  }

  /** Sends the browser on with a GET. */
  redirect({ response }: Pick<Visit, 'response'>, url: string): void {
    harden(response, "default-src 'none'; frame-ancestors 'none'");
    response.status(303).set('Location', url).end();
  }
}

function harden(response: Response, policy: string): void {
  for (const name of Object.keys(CORS_HEADERS)) response.removeHeader(name);
  response.set({
    'Cache-Control': 'no-store',
    'Content-Security-Policy': policy,
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
  });
}
