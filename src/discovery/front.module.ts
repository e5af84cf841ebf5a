import { Controller, Get, Header, Module, Req, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { Public } from '../auth/auth.decorators.js';
import { Environment } from '../config/environment.js';
import { PRODUCT } from '../system/product.js';

const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="6" fill="#0b3d2e"/>' +
  '<path d="M9 7H6v18h3M23 7h3v18h-3" fill="none" stroke="#fff" stroke-width="2.5"/>' +
  '<circle cx="16" cy="16" r="4" fill="#fff"/></svg>';

/** Link texts on the front page. */
const NAMES: Readonly<Record<string, string>> = {
  docs: 'The API, to read and to try out',
  openapi: 'Its description in OpenAPI',
  versions: 'Versions of the Matrix specification',
  account: 'Your account',
};

/** The front page: what the service says about itself at `/`. */
@Controller()
@ApiExcludeController()
@Public()
export class FrontController {
  constructor(private readonly environment: Environment) {}

  /** HTML for browsers, JSON for others. */
  @Get()
  front(@Req() request: Request, @Res() response: Response): void {
    const { apiDocs, oauth, serverName } = this.environment;
    const links = {
      ...(apiDocs ? { docs: '/docs', openapi: '/docs/openapi.json' } : {}),
      versions: '/_matrix/client/versions',
      ...(oauth.isOn ? { account: `${oauth.pagesUrl}/account` } : {}),
    };
    const { version } = PRODUCT;
    response.vary('Accept');
    if (request.accepts(['json', 'html']) !== 'html') {
      const self = { name: 'Matrix session service', version, server_name: serverName, ...links };
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify(self));
      return;
    }
    const items = Object.entries(links).map(
      ([name, path]) => `<li><a href="${path}">${NAMES[name]}</a></li>`,
    );
    response
      .set('Content-Security-Policy', "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'")
      .type('html')
      .send(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Matrix session service</title>' +
          '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">' +
          '<link rel="icon" href="/favicon.ico" type="image/svg+xml">' +
          '<style>body{font:1rem/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem}</style></head>' +
          `<body><h1>Matrix session service</h1><p>Version ${version}. It owns the sessions of the users of ` +
          `<strong>${escape(serverName)}</strong>: logins, refreshes, logouts, devices and their keys.</p>` +
          `<ul>${items.join('')}</ul></body></html>`,
      );
  }

  @Get('favicon.ico')
  @Header('Content-Type', 'image/svg+xml')
  @Header('Cache-Control', 'public, max-age=86400')
  icon(): string {
    return ICON;
  }
}

/** Only for the standalone application: in another team's application, `/` belongs to that team. */
@Module({ controllers: [FrontController] })
export class FrontModule {}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
