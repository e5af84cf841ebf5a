import { Get, Post, Req, Res } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiQuery } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { Parameters } from '../../matrix/form-body.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { BrowserSessions } from '../browser/browser-sessions.service.js';
import { continueOf } from '../continue.rules.js';
import { ApiPage, PageController } from '../page-controller.decorator.js';
import { PageRefusal } from '../page.js';
import { PageSender } from '../page-sender.js';
import { SignInPages } from './sign-in.pages.js';
import type { Visit } from '../visit.js';
import { SignInService } from './sign-in.service.js';
import { Visits } from '../visits.service.js';

/** Where people sign in and out. */
@PageController('account')
export class SignInController {
  constructor(
    private readonly visits: Visits,
    private readonly pages: SignInPages,
    private readonly signIns: SignInService,
    private readonly sender: PageSender,
  ) {}

  @Get('login')
  @ApiPage('showSignIn', 'Where people sign in')
  @ApiQuery({
    name: 'continue',
    required: false,
    description: 'Where the browser goes on: a page of this service.',
  })
  async show(@Req() request: Request, @Res() response: Response): Promise<void> {
    const visit = await this.visits.open(request, response);
    const next = continueOf(visit.query.get('continue'));
    this.sender.show(visit, await this.pages.signIn(visit, next));
  }

  /** The end of single sign-on: see `LoginElsewhere`. */
  @Get('login/return')
  @ApiExcludeEndpoint()
  async comeBack(@Req() request: Request, @Res() response: Response): Promise<void> {
    const visit = await this.visits.open(request, response);
    const { query } = visit;
    const next = continueOf(query.get('continue'));
    if (!visit.isState(query.get('state') ?? '', next)) throw new PageRefusal(403, 'forbidden');
    await this.answer(visit, next, query, () => this.signIns.comeBack(query, visit));
  }

  @ApiExcludeEndpoint()
  @Post('login')
  @WithoutBody()
  async signIn(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.post(request, response);
    await this.answer(visit, continueOf(form.get('continue')), form, () => this.signIns.signIn(form, visit));
  }

  /** Signs the browser in and sends it on, or shows the page again. */
  private async answer(
    visit: Visit,
    next: string,
    given: Parameters,
    signIn: () => Promise<string>,
  ): Promise<void> {
    try {
      this.visits.signIn(visit.response, await signIn());
    } catch (error) {
      if (!(error instanceof MatrixError) || error.status === 429 || error.status >= 500) throw error;
      this.sender.refused(visit, error);
      const words = this.signIns.wordsFor(error, given, visit.texts);
      this.sender.show(visit, await this.pages.signIn(visit, next, { form: given, words }));
      return;
    }
    this.sender.redirect(visit, next);
  }
}

/** Where people sign out. */
@PageController('account')
export class SignOutController {
  constructor(
    private readonly visits: Visits,
    private readonly browsers: BrowserSessions,
    private readonly pages: SignInPages,
    private readonly sender: PageSender,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  @ApiExcludeEndpoint()
  @Post('logout')
  @WithoutBody()
  async signOut(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.post(request, response);
    const { signedIn, origin } = visit;
    if (signedIn !== null) await this.unitOfWork.run((tx) => this.browsers.end(tx, signedIn.session, origin));
    this.visits.signOut(response);
    const next = form.get('continue');
    if (next === null) this.sender.show(visit, this.pages.signedOut(visit));
    else this.sender.redirect(visit, `/account/login?continue=${encodeURIComponent(continueOf(next))}`);
  }
}
