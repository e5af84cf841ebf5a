import { html, type Html } from '../html.js';
import { alert, button, facts, field, form, hidden } from './parts.js';
import type { AppView, ConsentView, LinkView, PageContext } from './views.js';

export function consentTemplate(view: ConsentView, context: PageContext): Html {
  const { consent } = context.texts;
  const { app } = view;
  return html`<h1>${consent.title(app.title)}</h1>
    <p>${consent.asks}</p>
    ${facts([
      ...appFacts(app, context),
      [consent.account, view.userId],
      [consent.device, view.deviceId],
      [consent.target, view.target],
    ])}
    ${rights(view.isDeviceKnown, context)}
    <p class="soft">${consent.mayNot}</p>
    ${appLinks(app, context)}
    ${form(
      context,
      '/oauth2/auth',
      hidden('request', view.request),
      html`<div class="actions">
        ${button(consent.allow, 'main', html`name="decision" value="allow"`)}
        ${button(consent.refuse, 'plain', html`name="decision" value="refuse"`)}
      </div>`,
    )}
    ${otherAccount(view.url, context)}`;
}

export function linkTemplate({ device, userCode, userId, error }: LinkView, context: PageContext): Html {
  const { link, consent } = context.texts;
  if (device === null) {
    return html`<h1>${link.title}</h1>
      <p>${link.intro}</p>
      <form method="get" action="/account/link">
        ${field({ name: 'user_code', label: link.code, value: userCode, error })}
        <div class="actions">${button(link.submit)}</div>
      </form>`;
  }
  const { app } = device;
  return html`<h1>${consent.title(app.title)}</h1>
    <p>${link.compare}</p>
    <p class="code">${device.userCode}</p>
    <p class="box">${link.warning}</p>
    ${alert(error)}
    ${facts([
      ...appFacts(app, context),
      [consent.account, userId],
      [consent.device, device.deviceId],
      [link.from, device.address],
      [context.texts.account.browser, device.userAgent],
    ])}
    ${rights(device.isDeviceKnown, context)} ${appLinks(app, context)}
    ${form(
      context,
      '/account/link',
      hidden('user_code', device.userCode),
      html`<div class="actions">
        ${button(link.allow, 'main', html`name="decision" value="allow"`)}
        ${button(link.refuse, 'plain', html`name="decision" value="refuse"`)}
      </div>`,
    )}
    ${otherAccount(`/account/link?user_code=${device.userCode}`, context)}`;
}

/** What the app may do, and what becomes of the session that the device has. */
function rights(isDeviceKnown: boolean, { texts: { consent } }: PageContext): Html {
  return html`${isDeviceKnown && html`<p class="box">${consent.known}</p>`}
    <p>${consent.may}</p>
    <ul>
      ${consent.mayList.map((one) => html`<li>${one}</li>`)}
    </ul>`;
}

function otherAccount(url: string, context: PageContext): Html {
  return form(
    context,
    '/account/logout',
    hidden('continue', url),
    html`<div class="actions">${button(context.texts.consent.other, 'quiet')}</div>`,
  );
}

/** The name is only what the app claims, so its host stands below it. Without an answer to it, the host is, too. */
function appFacts(app: AppView, { texts: { consent } }: PageContext): [string, string][] {
  return [
    [consent.name, app.title],
    [app.isHostProven ? consent.host : consent.claimedHost, app.host],
  ];
}

/** What the app wants its users to read. */
function appLinks({ termsUrl, policyUrl }: AppView, { texts: { consent } }: PageContext): Html | null {
  const links = [
    ...(termsUrl === null ? [] : [linkTo(termsUrl, consent.terms)]),
    ...(policyUrl === null ? [] : [linkTo(policyUrl, consent.policy)]),
  ];
  if (links.length === 0) return null;
  return html`<ul class="links">
    ${links.map((link) => html`<li>${link}</li>`)}
  </ul>`;
}

function linkTo(url: string, text: string): Html {
  return html`<a href="${url}" rel="noopener noreferrer" target="_blank">${text}</a>`;
}
