import { Injectable } from '@nestjs/common';
import { OAuthUrls } from '../../oauth/oauth-urls.js';
import { PageSender } from '../page-sender.js';
import { PageTemplates } from '../page-templates.js';
import { CROSS_SIGNING_UPLOAD } from '../../uia/uia-operation.js';
import type { StageView } from '../templates/views.js';
import type { Texts } from '../texts/en.js';
import type { Visit } from '../visit.js';

/** The call that waits for the proof. */
export interface WaitingCall {
  readonly sessionId: string;
  readonly userId: string;
  /** Method and path. */
  readonly operation: string;
}

/** The pages of a stage that a client cannot show. */
@Injectable()
export class StageFallbackPages {
  constructor(
    private readonly templates: PageTemplates,
    private readonly sender: PageSender,
    private readonly urls: OAuthUrls,
  ) {}

  /** @param error what was wrong with the last try; `null`: there was none */
  ask(visit: Visit, stage: StageView['stage'], waiting: WaitingCall, error: string | null): void {
    const { context, texts, url } = visit;
    const [action = url] = url.split('?');
    this.sender.show(visit, {
      title: texts.fallback.proveTitle,
      status: error === null ? 200 : 401,
      content: this.templates.stage(
        {
          action,
          session: waiting.sessionId,
          // Who is not signed in has the ID of the session for a name.
          userId: waiting.userId === waiting.sessionId ? null : waiting.userId,
          operation: texts.fallback.operations[kindOf(waiting.operation)],
          stage,
          error,
        },
        context,
      ),
    });
  }

  done(visit: Visit): void {
    const { context, texts } = visit;
    this.sender.show(visit, {
      title: texts.fallback.proveDone,
      content: this.templates.stageDone(context),
    });
  }

  /** No session waits for this stage. */
  gone(visit: Visit): void {
    const { problems, fallback } = visit.texts;
    const [title = ''] = problems.notFound;
    this.sender.show(visit, {
      title,
      status: 404,
      content: this.templates.message(title, fallback.gone),
    });
  }

  /** To the account page, which is the stage of OAuth 2.0 clients. It may have a host of its own. */
  goToAccount(visit: Visit): void {
    this.sender.redirect(visit, this.urls.page('/account?action=org.matrix.cross_signing_reset'));
  }
}

/** What is confirmed: somebody else may have begun it, and sent the link. */
function kindOf(operation: string): keyof Texts['fallback']['operations'] {
  if (operation === 'POST /register') return 'register';
  if (operation === 'POST /account/password') return 'password';
  if (operation === 'POST /account/deactivate') return 'deactivate';
  if (operation === 'POST /login/get_token') return 'loginToken';
  if (operation === CROSS_SIGNING_UPLOAD) return 'keys';
  return /delete_devices$|^DELETE \/devices\//.test(operation) ? 'devices' : 'other';
}
