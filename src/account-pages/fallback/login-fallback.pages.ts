import { Injectable } from '@nestjs/common';
import type { MatrixError } from '../../matrix/matrix-error.js';
import type { Parameters } from '../../matrix/form-body.js';
import { PageSender } from '../page-sender.js';
import { PageTemplates } from '../page-templates.js';
import { SignInService } from '../sign-in/sign-in.service.js';
import type { Visit } from '../visit.js';

/** The pages of the login fallback. */
@Injectable()
export class LoginFallbackPages {
  constructor(
    private readonly templates: PageTemplates,
    private readonly signIns: SignInService,
    private readonly sender: PageSender,
  ) {}

  /**
   * @param refused the form that was refused; `null`: the page is shown for the first time
   * @param error why it was refused
   */
  ask(visit: Visit, refused: Parameters | null, error: string | null = null): void {
    const { context, texts, url } = visit;
    this.sender.show(visit, {
      title: texts.fallback.title,
      status: refused === null ? 200 : 401,
      content: this.templates.signIn(
        {
          action: url,
          continue: '',
          app: null,
          username: refused?.get('username') ?? '',
          hasPasswords: this.signIns.hasPasswords,
          others: this.signIns.others,
          elsewhere: [],
          registerUrl: null,
          error,
        },
        context,
      ),
    });
  }

  /** Shows the form again, and says why it was refused. */
  refuse(visit: Visit, form: Parameters, error: MatrixError): void {
    this.sender.refused(visit, error);
    this.ask(visit, form, this.signIns.wordsFor(error, form, visit.texts));
  }

  done(visit: Visit, session: object): void {
    const { context, texts } = visit;
    this.sender.show(visit, {
      title: texts.fallback.done,
      content: this.templates.loggedIn(session, context),
    });
  }
}
