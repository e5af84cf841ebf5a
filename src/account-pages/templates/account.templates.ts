import { html, type Html } from '../html.js';
import { button, facts, field, form, hidden, notice, time } from './parts.js';
import type {
  AccountView,
  ActivityView,
  BrowserView,
  ChangePasswordView,
  DeactivateView,
  EndView,
  PageContext,
  ProofView,
  ResetView,
  SessionView,
} from './views.js';

export function accountTemplate(view: AccountView, context: PageContext): Html {
  const { account } = context.texts;
  const link = (action: string, text: string) =>
    html`<li><a href="/account?action=${action}">${text}</a></li>`;
  return html`<h1>${account.title}</h1>
    <p class="soft">${account.signedInAs(view.userId)}</p>
    ${notice(view.notice)}
    <h2 id="sessions">${account.sessions}</h2>
    <p>${view.sessions.length === 0 ? account.none : account.sessionsText}</p>
    ${
      view.sessions.length > 0 &&
      html`<form method="get" action="/account">
        ${hidden('action', 'org.matrix.device_delete')}
        <ul class="cards">
          ${view.sessions.map((session) => sessionCard(session, context))}
        </ul>
        <div class="actions">
          ${button(account.endSelected, 'plain', html`name="mode" value="selected"`)}
          ${button(account.endAll, 'danger', html`name="mode" value="all"`)}
        </div>
      </form>`
    }
    <h2>${account.browsers}</h2>
    <p>${account.browsersText}</p>
    <ul class="cards">
      ${view.browsers.map((browser) => browserCard(browser, context))}
    </ul>
    <h2>${account.security}</h2>
    <ul class="links">
      ${view.hasPassword && link('password', account.password)}
      <li><a href="/account/link">${account.link}</a></li>
      ${link('org.matrix.cross_signing_reset', account.reset)}
      ${link('org.matrix.account_deactivate', account.deactivate)}
    </ul>
    ${form(context, '/account/logout', html`<div class="actions">${button(account.signOut, 'plain')}</div>`)}
    <h2>${account.activity}</h2>
    ${
      view.activity.length === 0
        ? html`<p>${account.noActivity}</p>`
        : html`<ul class="cards">
            ${view.activity.map((one) => activityCard(one, context))}
          </ul>`
    }`;
}

export function sessionTemplate(
  session: SessionView,
  { saved, error }: { readonly saved: string | null; readonly error: string | null },
  context: PageContext,
): Html {
  const { account } = context.texts;
  const id = encodeURIComponent(session.deviceId);
  return html`<h1>${nameOf(session, context)}</h1>
    ${notice(saved)} ${sessionFacts(session, context)}
    ${form(
      context,
      '/account/rename',
      hidden('device_id', session.deviceId),
      field({ name: 'name', label: account.rename, value: session.name ?? '', most: 100, error }),
      html`<div class="actions">${button(account.renameSubmit, 'plain')}</div>`,
    )}
    <div class="actions">
      <a class="button" href="/account?action=org.matrix.device_delete&amp;device_id=${id}">${account.end}</a>
      <a class="button" href="/account?action=org.matrix.device_delete&amp;mode=others&amp;device_id=${id}"
        >${account.endOthers}</a
      >
    </div>
    ${back(context)}`;
}

export function endTemplate({ mode, sessions, proof }: EndView, context: PageContext): Html {
  const { end } = context.texts;
  const what = { all: end.all, others: end.others, selected: sessions.length === 1 ? end.one : end.some }[
    mode
  ];
  return html`<h1>${end.title}</h1>
    <p>${what}</p>
    ${
      mode !== 'all' &&
      html`<ul>
        ${sessions.map((one) => html`<li>${nameOf(one, context)} (${one.deviceId})</li>`)}
      </ul>`
    }
    <p class="box">${end.meaning}</p>
    ${proven(proof, context, () =>
      form(
        context,
        '/account/end',
        hidden('mode', mode),
        mode !== 'all' && sessions.map(({ deviceId }) => hidden('device_id', deviceId)),
        passwordOf(proof, context),
        html`<div class="actions">${button(end.submit, 'danger')}</div>`,
      ),
    )}
    ${back(context)}`;
}

export function resetTemplate({ waiting, proof }: ResetView, context: PageContext): Html {
  const { reset, account } = context.texts;
  return html`<h1>${reset.title}</h1>
    ${
      waiting === null
        ? html`<p>${reset.none}</p>`
        : html`<p>${reset.text}</p>
            ${facts([
              [account.rename, waiting.device],
              [account.deviceId, waiting.deviceId],
            ])}
            <p class="box">${reset.meaning}</p>
            ${proven(proof, context, () =>
              form(
                context,
                '/account/reset',
                hidden('session', waiting.sessionId),
                passwordOf(proof, context),
                html`<div class="actions">${button(reset.submit, 'danger')}</div>`,
              ),
            )}`
    }
    ${back(context)}`;
}

export function changePasswordTemplate(
  { userId, isElsewhere, error }: ChangePasswordView,
  context: PageContext,
): Html {
  const { password } = context.texts;
  return html`<h1>${password.title}</h1>
    ${
      isElsewhere
        ? html`<p>${password.elsewhere}</p>`
        : form(
            context,
            '/account/password',
            // Tells password managers whose password changes.
            html`<input type="text" autocomplete="username" value="${userId}" readonly hidden />`,
            field({
              name: 'password',
              label: password.old,
              type: 'password',
              autocomplete: 'current-password',
              error: error?.field === 'old' ? error.text : null,
            }),
            field({
              name: 'new_password',
              label: password.next,
              type: 'password',
              autocomplete: 'new-password',
              error: error?.field === 'next' ? error.text : null,
              advice: '/account/register/advice',
            }),
            html`<label class="check"
                ><input type="checkbox" name="logout_devices" value="yes" checked /> ${password.logout}</label
              >
              <div class="actions">${button(password.submit)}</div>`,
          )
    }
    ${back(context)}`;
}

export function deactivateTemplate({ userId, proof, error }: DeactivateView, context: PageContext): Html {
  const { deactivate } = context.texts;
  return html`<h1>${deactivate.title}</h1>
    <p class="box">${deactivate.meaning}</p>
    ${proven(proof, context, () =>
      form(
        context,
        '/account/deactivate',
        field({ name: 'confirm', label: deactivate.confirm(userId), error }),
        passwordOf(proof, context),
        html`<label class="check"
            ><input type="checkbox" name="erase" value="yes" /> ${deactivate.erase}</label
          >
          <div class="actions">${button(deactivate.submit, 'danger')}</div>`,
      ),
    )}
    ${back(context)}`;
}

/** The form, or the link to sign in again where the user has no password to type. */
function proven(proof: ProofView, { texts }: PageContext, content: () => Html): Html {
  return proof.kind === 'sign-in'
    ? html`<p>${texts.prove.again}</p>
        <p><a class="button" href="${proof.url}">${texts.prove.againLink}</a></p>`
    : content();
}

function passwordOf({ kind, error }: ProofView, { texts: { prove } }: PageContext): Html | null {
  if (kind !== 'password') return null;
  return field({
    name: 'password',
    label: prove.password,
    type: 'password',
    autocomplete: 'current-password',
    hint: prove.why,
    error,
  });
}

function sessionCard(session: SessionView, context: PageContext): Html {
  const { account } = context.texts;
  const name = nameOf(session, context);
  const view = `/account?action=org.matrix.device_view&device_id=${encodeURIComponent(session.deviceId)}`;
  return html`<li>
    <input
      type="checkbox"
      name="device_id"
      value="${session.deviceId}"
      aria-label="${account.select(name)}"
    />
    <div>
      <h3><a href="${view}">${name}</a></h3>
      <p class="soft">${session.app ?? account.legacyApp} · ${session.deviceId}</p>
      ${
        session.lastSeenAt !== null &&
        html`<p class="soft">
          ${account.lastSeen}: ${time(session.lastSeenAt, context)}${from(session.lastSeenAddress)}
        </p>`
      }
      <p class="soft">${account.begun}: ${time(session.begunAt, context)}${from(session.begunAddress)}</p>
    </div>
  </li>`;
}

function sessionFacts(session: SessionView, context: PageContext): Html {
  const { account } = context.texts;
  return facts([
    [account.app, session.app ?? account.legacyApp],
    [account.deviceId, session.deviceId],
    [account.lastSeen, session.lastSeenAt === null ? account.never : time(session.lastSeenAt, context)],
    [account.address, session.lastSeenAddress],
    [account.browser, session.userAgent],
    [account.begun, html`${time(session.begunAt, context)}${from(session.begunAddress)}`],
  ]);
}

function browserCard(browser: BrowserView, context: PageContext): Html {
  const { account } = context.texts;
  return html`<li>
    <div>
      <h3>${browser.isThis ? account.thisBrowser : (browser.userAgent ?? account.browser)}</h3>
      <p class="soft">${account.lastSeen}: ${time(browser.seenAt, context)}${from(browser.address)}</p>
    </div>
    ${
      !browser.isThis &&
      form(context, '/account/browser', hidden('browser', browser.id), button(account.endBrowser, 'plain'))
    }
  </li>`;
}

function activityCard({ at, action, detail, address, userAgent }: ActivityView, context: PageContext): Html {
  return html`<li>
    <div>
      <h3>${action}${detail !== null && html` <span class="soft">(${detail})</span>`}</h3>
      <p class="soft">${time(at, context)}${from(address)}</p>
      <p class="hint">${userAgent}</p>
    </div>
  </li>`;
}

function from(address: string | null): Html | null {
  return address === null ? null : html` · ${address}`;
}

function nameOf({ name }: SessionView, { texts }: PageContext): string {
  return name === null || name.trim() === '' ? texts.account.unnamed : name;
}

function back({ texts }: PageContext): Html {
  return html`<p><a href="/account">${texts.account.back}</a></p>`;
}
