import { Get, Post, Req, Res } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiQuery } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { Parameters } from '../../matrix/form-body.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { OAuthError } from '../../matrix/oauth-error.js';
import type { AuthorizationRequest, Checked } from '../../oauth/authorization/authorization.rules.js';
import { AuthorizationService } from '../../oauth/authorization/authorization.service.js';
import { callbackOf } from '../../oauth/authorization/callback.rules.js';
import { BrowserSessions } from '../browser/browser-sessions.service.js';
import { ApiPage, PageController } from '../page-controller.decorator.js';
import { PageRefusal } from '../page.js';
import { isSignedIn, Visits } from '../visits.service.js';
import type { Visit } from '../visit.js';
import { ConsentPages } from './consent.pages.js';

/**
 * The authorization endpoint (RFC 6749, section 3.1). The request stays in the URL until the user has decided, and is
 * checked anew each time, so that nothing is stored for strangers.
 */
@PageController('oauth2')
export class ConsentController {
  constructor(
    private readonly visits: Visits,
    private readonly authorizations: AuthorizationService,
    private readonly browsers: BrowserSessions,
    private readonly pages: ConsentPages,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  @Get('auth')
  @ApiPage(
    'authorize',
    'The authorization endpoint (RFC 6749, section 3.1)',
    'The user signs in and agrees. The browser then goes to `redirect_uri`, with `code` or `error`. A client or a ' +
      '`redirect_uri` that is not registered gets a page with 400, and no redirect.',
  )
  @ApiQuery({ name: 'client_id', example: 'q3vK…' })
  @ApiQuery({ name: 'redirect_uri', example: 'https://app.example.org/callback' })
  @ApiQuery({ name: 'response_type', enum: ['code'] })
  @ApiQuery({ name: 'scope', example: 'urn:matrix:client:api:* urn:matrix:client:device:AAABBBCCCDDD' })
  @ApiQuery({ name: 'code_challenge', description: 'Of a code verifier (RFC 7636).' })
  @ApiQuery({ name: 'code_challenge_method', enum: ['S256'] })
  @ApiQuery({ name: 'state', required: false })
  @ApiQuery({ name: 'response_mode', required: false, enum: ['query', 'fragment'] })
  @ApiQuery({ name: 'prompt', required: false, enum: ['create'] })
  @ApiQuery({ name: 'login_hint', required: false })
  @ApiQuery({ name: 'ui_locales', required: false, example: 'de' })
  async ask(@Req() request: Request, @Res() response: Response): Promise<void> {
    const visit = await this.visits.open(request, response);
    const checked = await this.authorizations.check(visit.query);
    // Anybody may register a client, so nobody is sent there unasked, with an error either (RFC 9700, section 4.11.2).
    if (!isSignedIn(visit) && checked.kind !== 'untrusted')
      return this.pages.signInFirst(visit, checked.kind === 'valid' && checked.request.wantsAccount);
    const asked = this.requireTrusted(visit, checked);
    if (asked !== null && isSignedIn(visit)) await this.pages.ask(visit, asked);
  }

  @ApiExcludeEndpoint()
  @Post('auth')
  @WithoutBody()
  async decide(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.postSignedIn(request, response);
    const asked = this.requireTrusted(
      visit,
      await this.authorizations.check(parse(form.get('request') ?? '')),
    );
    if (asked === null) return;
    const decision = form.get('decision');
    if (decision !== 'allow' && decision !== 'refuse') throw new PageRefusal(400, 'badRequest');
    const { session } = visit.signedIn;
    const url = await this.unitOfWork.run(async (tx) => {
      await this.browsers.hold(tx, session);
      return decision === 'allow'
        ? this.authorizations.allow(tx, session.userId, asked, visit.origin)
        : this.authorizations.refuse(tx, session.userId, asked, visit.origin);
    });
    this.pages.goOn(visit, url);
  }

  /** The request, if the user may decide on it. Otherwise the app is told, and there is no more to do. */
  private requireTrusted(visit: Visit, checked: Checked): AuthorizationRequest | null {
    if (checked.kind === 'untrusted') throw new PageRefusal(400, 'unknownClient');
    if (checked.kind === 'valid') return checked.request;
    const { target, error, description } = checked;
    this.pages.goOn(visit, callbackOf(target, { error, error_description: description }));
    return null;
  }
}

function parse(query: string): Parameters {
  try {
    return Parameters.parse(query);
  } catch (error) {
    throw error instanceof OAuthError ? new PageRefusal(400, 'badRequest') : error;
  }
}
