import { html, Html } from './html.js';
import {
  accountTemplate,
  changePasswordTemplate,
  deactivateTemplate,
  endTemplate,
  resetTemplate,
  sessionTemplate,
} from './templates/account.templates.js';
import { consentTemplate, linkTemplate } from './templates/consent.templates.js';
import { loggedInTemplate, stageDoneTemplate, stageTemplate } from './templates/fallback.templates.js';
import { message } from './templates/parts.js';
import { registerTemplate, signInTemplate } from './templates/sign-in.templates.js';
import { styleFor } from './templates/style.js';
import type {
  AccountView,
  ChangePasswordView,
  ConsentView,
  DeactivateView,
  EndView,
  LinkTo,
  LinkView,
  Look,
  PageContext,
  RegisterView,
  ResetView,
  SessionView,
  SignInView,
  StageView,
} from './templates/views.js';

/**
 * The pages as HTML. A team replaces single ones with methods of its own, or the frame around all of them. Write them
 * with {@link html}: it escapes every value. A form needs the field `csrf`, and the fields of the form that it
 * replaces. Scripts and styles inside of a page do not run: the Content Security Policy allows `style` and the script
 * of the service alone.
 *
 * @example
 * ```ts
 * class OurPages extends PageTemplates {
 *   override signIn(view: SignInView, context: PageContext): Html {
 *     return html`<p>Use the password of your badge.</p> ${super.signIn(view, context)}`;
 *   }
 * }
 * createApplication({ environment, database, pageTemplates: new OurPages() });
 * ```
 */
export class PageTemplates {
  /** The whole document. `title` is plain text, `content` that of one of the other methods. */
  layout(title: string, content: Html, { texts, look }: PageContext): Html {
    return html`<!doctype html>
      <html lang="${texts.language}">
        <head>
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <title>${title} · ${look.name}</title>
          ${this.styleElement(look)}
          <script src="${look.scriptUrl}" defer></script>
        </head>
        <body>
          <a class="skip" href="#main">${texts.skip}</a>
          <header>
            ${look.logoUrl !== null && html`<img src="${look.logoUrl}" alt="" />`}<span>${look.name}</span>
          </header>
          <main id="main">${content}</main>
        </body>
      </html>`;
  }

  /** The one style sheet of all pages. The Content Security Policy allows exactly this text. */
  style({ color }: Look): string {
    return styleFor(color);
  }

  signIn(view: SignInView, context: PageContext): Html {
    return signInTemplate(view, context);
  }

  register(view: RegisterView, context: PageContext): Html {
    return registerTemplate(view, context);
  }

  consent(view: ConsentView, context: PageContext): Html {
    return consentTemplate(view, context);
  }

  link(view: LinkView, context: PageContext): Html {
    return linkTemplate(view, context);
  }

  account(view: AccountView, context: PageContext): Html {
    return accountTemplate(view, context);
  }

  /** @param said what was just done, and what was wrong with a new name; `null`: nothing */
  session(
    view: SessionView,
    said: { readonly saved: string | null; readonly error: string | null },
    context: PageContext,
  ): Html {
    return sessionTemplate(view, said, context);
  }

  end(view: EndView, context: PageContext): Html {
    return endTemplate(view, context);
  }

  reset(view: ResetView, context: PageContext): Html {
    return resetTemplate(view, context);
  }

  changePassword(view: ChangePasswordView, context: PageContext): Html {
    return changePasswordTemplate(view, context);
  }

  deactivate(view: DeactivateView, context: PageContext): Html {
    return deactivateTemplate(view, context);
  }

  /** The end of the login fallback. The script of the service reads the session from `data-login`. */
  loggedIn(session: object, context: PageContext): Html {
    return loggedInTemplate(session, context);
  }

  /** A stage of interactive authentication. */
  stage(view: StageView, context: PageContext): Html {
    return stageTemplate(view, context);
  }

  /** The end of such a stage. The script of the service looks for `data-auth-done`. */
  stageDone(context: PageContext): Html {
    return stageDoneTemplate(context);
  }

  /**
   * A page that only says something.
   * @param link where people may go on; `null`: nowhere
   */
  message(title: string, text: string, link: LinkTo | null = null): Html {
    return message(title, text, link);
  }

  private styleElement(look: Look): Html {
    return Html.trusted(`<style>${this.style(look)}</style>`);
  }
}
