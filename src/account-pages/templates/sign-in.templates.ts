import { html, type Html } from '../html.js';
import { alert, button, field, form, hidden } from './parts.js';
import type { PageContext, RegisterView, SignInView } from './views.js';

export function signInTemplate(view: SignInView, context: PageContext): Html {
  const { texts, look } = context;
  const { signIn } = texts;
  return html`<h1>${signIn.title}</h1>
    <p>${view.app === null ? signIn.intro(look.name) : signIn.forApp(view.app)}</p>
    ${alert(view.error)}
    ${
      view.hasPasswords &&
      form(
        context,
        view.action,
        hidden('continue', view.continue),
        field({ name: 'username', label: signIn.username, value: view.username, autocomplete: 'username' }),
        field({
          name: 'password',
          label: signIn.password,
          type: 'password',
          autocomplete: 'current-password',
        }),
        html`<div class="actions">${button(signIn.submit)}</div>`,
      )
    }
    ${view.others.length + view.elsewhere.length > 0 && view.hasPasswords && html`<h2>${signIn.other}</h2>`}
    ${view.others.map(({ type, title, fields }, at) =>
      form(
        context,
        view.action,
        hidden('continue', view.continue),
        hidden('type', type),
        fields.map((one) => field({ ...one, of: `other-${at}` })),
        html`<div class="actions">${button(title, 'plain')}</div>`,
      ),
    )}
    ${view.elsewhere.map(
      ({ title, url }) => html`<div class="actions"><a class="button" href="${url}">${title}</a></div>`,
    )}
    ${view.registerUrl !== null && html`<p><a href="${view.registerUrl}">${signIn.create}</a></p>`}`;
}

export function registerTemplate(view: RegisterView, context: PageContext): Html {
  const { texts, look } = context;
  const { register } = texts;
  const errorOf = (name: string) => (view.error?.field === name ? view.error.text : null);
  return html`<h1>${register.title}</h1>
    <p>${register.intro(look.name)}</p>
    ${form(
      context,
      '/account/register',
      hidden('continue', view.continue),
      field({
        name: 'username',
        label: register.username,
        value: view.username,
        autocomplete: 'username',
        hint: register.usernameHint(look.serverName),
        error: errorOf('username'),
      }),
      field({
        name: 'password',
        label: register.password,
        type: 'password',
        autocomplete: 'new-password',
        hint: register.passwordHint,
        error: errorOf('password'),
        advice: '/account/register/advice',
      }),
      view.needsToken &&
        field({
          name: 'token',
          label: register.token,
          hint: register.tokenHint,
          error: errorOf('token'),
        }),
      html`<div class="actions">${button(register.submit)}</div>`,
    )}
    <p><a href="${view.signInUrl}">${register.have}</a></p>`;
}
