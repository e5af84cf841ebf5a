import { html, type Html } from '../html.js';
import { alert, button, field, form, hidden } from './parts.js';
import type { PageContext, StageView } from './views.js';

/** The end of the login fallback. The script hands the session to the app around the page. */
export function loggedInTemplate(session: object, { texts: { fallback } }: PageContext): Html {
  return html`<h1>${fallback.done}</h1>
    <p data-login="${JSON.stringify(session)}">${fallback.doneText}</p>`;
}

export function stageTemplate(view: StageView, context: PageContext): Html {
  const { fallback, signIn, register } = context.texts;
  const fields = {
    'm.login.password': () => [
      field({
        name: 'username',
        label: signIn.username,
        value: view.userId ?? '',
        autocomplete: 'username',
      }),
      field({ name: 'password', label: signIn.password, type: 'password', autocomplete: 'current-password' }),
    ],
    'm.login.registration_token': () => [
      field({ name: 'token', label: register.token, hint: register.tokenHint }),
    ],
    'm.login.dummy': () => [html`<p>${fallback.dummy}</p>`],
  };
  return html`<h1>${fallback.proveTitle}</h1>
    <p class="box">${view.operation}</p>
    ${alert(view.error)}
    ${form(
      context,
      view.action,
      hidden('session', view.session),
      fields[view.stage](),
      html`<div class="actions">${button(fallback.submit)}</div>`,
    )}`;
}

export function stageDoneTemplate({ texts: { fallback } }: PageContext): Html {
  return html`<h1>${fallback.proveDone}</h1>
    <p data-auth-done>${fallback.doneText}</p>`;
}
