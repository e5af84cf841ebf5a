import { Get, Optional, Post, Req, Res } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiQuery } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { AccountsService } from '../../accounts/accounts.service.js';
import { PasswordsService } from '../../accounts/passwords.service.js';
import { RateLimited } from '../../admission/rate-limited.decorator.js';
import type { Parameters } from '../../matrix/form-body.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { PageRegistration } from '../../session/register/page-registration.js';
import { BrowserSessions } from '../browser/browser-sessions.service.js';
import { continueOf } from '../continue.rules.js';
import { ApiPage, PageController } from '../page-controller.decorator.js';
import { PageRefusal } from '../page.js';
import { PageSender } from '../page-sender.js';
import { PageTemplates } from '../page-templates.js';
import type { RegisterView } from '../templates/views.js';
import type { Texts } from '../texts/en.js';
import type { Visit } from '../visit.js';
import { Visits } from '../visits.service.js';

/** Where people create an account. */
@PageController('account')
export class RegisterPageController {
  constructor(
    private readonly visits: Visits,
    private readonly sender: PageSender,
    private readonly templates: PageTemplates,
    private readonly browsers: BrowserSessions,
    @Optional() private readonly registrations?: PageRegistration,
  ) {}

  @Get('register')
  @ApiPage('showRegistration', 'Where people create an account')
  @ApiQuery({
    name: 'continue',
    required: false,
    description: 'Where the browser goes on: a page of this service.',
  })
  async show(@Req() request: Request, @Res() response: Response): Promise<void> {
    const visit = await this.visits.open(request, response);
    await this.requireOpen();
    this.send(visit, 200, { continue: continueOf(visit.query.get('continue')), username: '', error: null });
  }

  @ApiExcludeEndpoint()
  @Post('register')
  @WithoutBody()
  async register(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.post(request, response);
    const registrations = await this.requireOpen();
    const next = continueOf(form.get('continue'));
    const username = form.get('username') ?? '';
    try {
      const wanted = {
        username,
        password: form.get('password') ?? '',
        token: form.get('token'),
        language: visit.texts.language,
      };
      const cookie = await registrations.register(wanted, visit.origin, async (tx, userId) => {
        await this.browsers.endPrevious(tx, visit.signedIn, visit.origin);
        return this.browsers.begin(tx, userId, visit.origin);
      });
      this.visits.signIn(response, cookie);
    } catch (error) {
      const problem = error instanceof MatrixError ? problemOf(error, form, visit.texts) : null;
      if (problem === null) throw error;
      return this.send(visit, 400, { continue: next, username, error: problem });
    }
    this.sender.redirect(visit, next);
  }

  private async requireOpen(): Promise<PageRegistration> {
    if (this.registrations === undefined || !(await this.registrations.isOpen()))
      throw new PageRefusal(403, 'closed');
    return this.registrations;
  }

  private send(
    visit: Visit,
    status: number,
    view: Pick<RegisterView, 'continue' | 'username' | 'error'>,
  ): void {
    const { context, texts } = visit;
    const signInUrl = `/account/login?continue=${encodeURIComponent(view.continue)}`;
    const needsToken = this.registrations?.needsToken ?? false;
    const content = this.templates.register({ ...view, needsToken, signInUrl }, context);
    this.sender.show(visit, { title: texts.register.title, status, content });
  }
}

/** What the pages say about a password while it is typed. */
@PageController('account')
export class PasswordAdviceController {
  constructor(
    private readonly visits: Visits,
    private readonly passwords: PasswordsService,
    private readonly accounts: AccountsService,
    private readonly sender: PageSender,
  ) {}

  @ApiExcludeEndpoint()
  @Post('register/advice')
  @WithoutBody()
  @RateLimited('available')
  async advise(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.post(request, response);
    const { signedIn, texts } = visit;
    const userId = signedIn?.account.userId ?? this.accounts.canonicalName(form.get('username') ?? '');
    try {
      await this.passwords.requireStrong(form.get('password') ?? '', userId, texts.language);
      this.sender.tell(visit, { advice: texts.register.strong });
    } catch (error) {
      if (!(error instanceof MatrixError) || error.errcode !== 'M_WEAK_PASSWORD') throw error;
      this.sender.tell(visit, { advice: error.message });
    }
  }
}

/** What the form says about a refusal; `null` if it is not about the form. */
function problemOf(
  { errcode, message }: MatrixError,
  form: Parameters,
  { register }: Texts,
): RegisterView['error'] {
  const missing = ['username', 'password'].find((name) => form.get(name) === null) as
    'username' | 'password' | undefined;
  if (missing !== undefined) return { field: missing, text: register.missing };
  switch (errcode) {
    case 'M_USER_IN_USE':
      return { field: 'username', text: register.taken };
    case 'M_INVALID_USERNAME':
      return { field: 'username', text: register.badName };
    case 'M_EXCLUSIVE':
      return { field: 'username', text: register.reserved };
    case 'M_WEAK_PASSWORD':
      return { field: 'password', text: message };
    case 'M_FORBIDDEN':
      return { field: 'token', text: register.badToken };
    default:
      return null;
  }
}
