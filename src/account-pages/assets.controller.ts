import { Get, Header, Res } from '@nestjs/common';
import { ApiExcludeEndpoint } from '@nestjs/swagger';
import type { Response } from 'express';
import { LookService } from './look.service.js';
import { PageController } from './page-controller.decorator.js';
import { PageRefusal } from './page.js';
import { PAGES_SCRIPT } from './templates/script.js';

/** The files that the pages load. */
@PageController('account')
export class AssetsController {
  constructor(private readonly looks: LookService) {}

  @Get('pages.js')
  @ApiExcludeEndpoint()
  @Header('Content-Type', 'text/javascript; charset=utf-8')
  @Header('Cache-Control', 'public, max-age=3600')
  @Header('X-Content-Type-Options', 'nosniff')
  script(): string {
    return PAGES_SCRIPT;
  }

  @Get('logo')
  @ApiExcludeEndpoint()
  @Header('Cache-Control', 'public, max-age=3600')
  @Header('X-Content-Type-Options', 'nosniff')
  // An image of type SVG that is opened by itself could otherwise run scripts.
  @Header('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'; sandbox")
  logo(@Res() response: Response): void {
    const { logo } = this.looks;
    if (logo === null) throw new PageRefusal(404, 'notFound');
    response.type(logo.type).send(logo.bytes);
  }
}

/** Says in a page that there is none. It must come after all other controllers of pages. */
@PageController('account')
export class NoPageController {
  @Get('*path')
  @ApiExcludeEndpoint()
  refuse(): never {
    throw new PageRefusal(404, 'notFound');
  }
}
