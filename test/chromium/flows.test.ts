import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ClientSession, PASSWORD, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { signIn, Site, useChromium } from '../support/chromium.js';
import {
  CLIENT,
  newDeviceId,
  newPkce,
  type OAuthClient,
  type OAuthTokens,
  scopeOf,
} from '../support/oauth.js';

const browser = useChromium();

let app: OAuthClient;
/** Where the app listens: a command-line program does so on any port. */
let listening: Site;
let alice: ClientSession;

beforeAll(async () => {
  listening = await Site.start('<h1>Back at the app</h1>');
  app = await browser().registerClient({
    ...CLIENT,
    application_type: 'native',
    redirect_uris: ['http://127.0.0.1/callback', 'net.example.app:/callback'],
  });
  alice = await browser().service.matrix.register();
});
afterAll(() => listening.stop());

/** One request of the app for a code. */
interface Asked {
  readonly url: string;
  readonly redirectUri: string;
  readonly verifier: string;
  readonly deviceId: string;
}

function ask(parameters: Record<string, string> = {}): Asked {
  const { verifier, challenge } = newPkce();
  const deviceId = newDeviceId();
  const redirectUri = parameters['redirect_uri'] ?? `${listening.origin}/callback`;
  const scope = scopeOf(deviceId);
  const url = app.authorizePath(challenge, { scope, redirect_uri: redirectUri, ...parameters });
  return { url, redirectUri, verifier, deviceId };
}

const heading = (page: Page) => page.locator('h1').textContent();
const allow = (page: Page) => page.getByRole('button', { name: 'Allow' });
const leave = (page: Page) => page.waitForURL(`${listening.origin}/**`);
const answerIn = (page: Page) => Object.fromEntries(new URL(page.url()).searchParams);

/** Exchanges the code, and finds out for whom it was. */
async function userOf(code: string, { verifier, redirectUri, deviceId }: Asked): Promise<unknown> {
  const { body } = await app.exchange(code, verifier, { redirect_uri: redirectUri }).expect(200);
  const accessToken = (body as OAuthTokens).access_token;
  const answer = await browser().service.matrix.whoami({ userId: '', deviceId, accessToken });
  expect(answer).toMatchObject({ status: 200, body: { device_id: deviceId } });
  return answer.body['user_id'];
}

describe('An app that asks for access', () => {
  it('gets its code once somebody has signed in and agreed', async () => {
    const asked = ask();
    const page = await browser().open();
    await page.goto(asked.url);
    await signIn(page, alice.userId);
    await allow(page).waitFor();
    expect(await page.locator('dl').innerText()).toContain(alice.userId);
    await allow(page).click();
    await leave(page);
    expect(await heading(page)).toBe('Back at the app');
    const { code = '', ...rest } = answerIn(page);
    expect(rest).toEqual({ state: 'state-1' });
    expect(await userOf(code, asked)).toBe(alice.userId);
  });

  it('learns that it is refused', async () => {
    const page = await browser().openAs(alice.userId, ask().url);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await leave(page);
    expect(answerIn(page)).toMatchObject({ error: 'access_denied', state: 'state-1' });
  });

  it('is opened by its own scheme', async () => {
    const asked = ask({ redirect_uri: 'net.example.app:/callback' });
    const page = await browser().openAs(alice.userId, asked.url);
    const opened = page.waitForEvent('requestfailed', (request) =>
      request.url().startsWith('net.example.app:'),
    );
    await allow(page).click();
    const request = await opened;
    // Chromium leaves it to the system, which has no such app here. What the policy blocks, it does not even ask for.
    expect(request.failure()?.errorText).toBe('net::ERR_ABORTED');
    expect(await heading(page)).toBe('Let Example App in?');
    // Whoever has told Chromium not to open the app may change their mind.
    const form = page.locator('form[action="/oauth2/auth"]');
    expect(await form.getAttribute('data-sent')).toBe('yes');
    await expect.poll(() => form.getAttribute('data-sent'), { timeout: 5_000 }).toBeNull();
    const code = new URL(request.url()).searchParams.get('code')!;
    expect(await userOf(code, asked)).toBe(alice.userId);
  });

  it('gets one code of somebody who clicks twice, and another of somebody who goes back', async () => {
    const asked = ask();
    const page = await browser().openAs(alice.userId, asked.url);
    const before = listening.visitsOf('/callback');
    let sent = 0;
    // The answer takes its time.
    await page.route('**/oauth2/auth', async (route) => {
      sent += 1;
      await sleep(500);
      await route.continue();
    });
    const { x, y } = (await allow(page).boundingBox())!;
    await page.mouse.click(x + 5, y + 5);
    await expect.poll(() => sent).toBe(1);
    await page.mouse.click(x + 5, y + 5);
    await leave(page);
    expect(sent).toBe(1);
    expect(listening.visitsOf('/callback')).toBe(before + 1);
    await page.goBack();
    await allow(page).click();
    await leave(page);
    expect(await userOf(answerIn(page)['code']!, asked)).toBe(alice.userId);
  });

  it('gets the account that the user changes to', async () => {
    const bob = await browser().service.matrix.register();
    const asked = ask();
    const page = await browser().openAs(alice.userId, asked.url);
    await page.getByRole('button', { name: 'Use another account' }).click();
    await signIn(page, bob.userId);
    await allow(page).click();
    await leave(page);
    expect(await userOf(answerIn(page)['code']!, asked)).toBe(bob.userId);
  });

  it('gets no code that a page has asked for another place', async () => {
    const page = await browser().openAs(alice.userId, ask().url);
    const other = ask({ redirect_uri: 'net.example.app:/callback' }).url.split('?')[1]!;
    await page
      .locator('[name=request]')
      .evaluate((input, value) => input.setAttribute('value', value), other);
    await allow(page).click();
    await expect.poll(() => browser().takeComplaints().join()).toContain('form-action');
    expect(await heading(page)).toBe('Let Example App in?');
  });
});

describe('Somebody without a mouse', () => {
  it('signs in and agrees with Tab and Enter', async () => {
    const asked = ask();
    const page = await browser().open();
    await page.goto(asked.url);
    const { keyboard } = page;
    const focused = () =>
      page.evaluate<string>('document.activeElement.innerText || document.activeElement.name');
    await keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the content');
    await keyboard.press('Enter');
    await keyboard.press('Tab');
    expect(await focused()).toBe('username');
    await keyboard.type(alice.userId);
    await keyboard.press('Tab');
    await keyboard.type(PASSWORD);
    await keyboard.press('Enter');
    await allow(page).waitFor();
    for (const button of ['Skip to the content', 'Allow']) {
      await keyboard.press('Tab');
      expect(await focused()).toBe(button);
    }
    await keyboard.press('Enter');
    await leave(page);
    expect(await userOf(answerIn(page)['code']!, asked)).toBe(alice.userId);
  });
});

describe('Creating an account', () => {
  const username = (page: Page) => page.locator('[name=username]');
  const password = (page: Page) => page.locator('[name=password]');

  it('shows while typing how good the password is', async () => {
    const page = await browser().open();
    await page.goto('/account/login');
    await page.getByRole('link', { name: 'Create an account' }).click();
    const name = uniqueUsername();
    await username(page).fill(name);
    const advice = page.locator('[aria-live]');
    await password(page).pressSequentially('password1');
    await expect.poll(() => advice.textContent()).toContain('easy to guess');
    await password(page).fill(PASSWORD);
    await expect.poll(() => advice.textContent()).toBe('Good password.');
    await password(page).fill('');
    await expect.poll(() => advice.textContent()).toBe('');
    await password(page).fill(PASSWORD);
    await page.getByRole('button', { name: 'Create the account' }).click();
    await page.getByText(`Signed in as @${name}:localhost`).waitFor();
  });

  it('works without scripts, and so does everything after it', async () => {
    const asked = ask({ prompt: 'create' });
    const page = await browser().open({ javaScriptEnabled: false });
    await page.goto(asked.url);
    expect(await heading(page)).toBe('Create an account');
    const name = uniqueUsername();
    await signIn(page, name, 'password1');
    expect(await page.getByRole('alert').textContent()).toContain('easy to guess');
    expect(await username(page).inputValue()).toBe(name);
    expect(await password(page).inputValue()).toBe('');
    await password(page).fill(PASSWORD);
    await page.getByRole('button', { name: 'Create the account' }).click();
    await allow(page).click();
    await leave(page);
    expect(await userOf(answerIn(page)['code']!, asked)).toBe(`@${name}:localhost`);
  });
});

describe('A device that shows a code', () => {
  const begin = async () => {
    const { body } = await app.device(scopeOf(newDeviceId())).expect(200);
    return body as { device_code: string; user_code: string; verification_uri: string; interval: number };
  };

  it('is linked by somebody who types the code', async () => {
    const { device_code, user_code, verification_uri, interval } = await begin();
    expect((await app.pollDevice(device_code)).body).toMatchObject({ error: 'authorization_pending' });
    const polled = Date.now();
    const page = await browser().open();
    await page.goto(verification_uri);
    await signIn(page, alice.userId);
    const code = page.getByLabel('Code');
    await code.pressSequentially(user_code.replace('-', '').toLowerCase());
    expect(await code.inputValue()).toBe(user_code);
    await code.press('Enter');
    expect(await page.locator('.code').textContent()).toBe(user_code);
    await page.getByRole('button', { name: 'The codes are the same: let it in' }).click();
    await page.getByRole('heading', { name: 'Your device is linked' }).waitFor();
    await sleep(Math.max(0, polled + interval * 1_000 + 100 - Date.now()));
    const { body } = await app.pollDevice(device_code).expect(200);
    const answer = await browser().service.matrix.whoami({ ...alice, accessToken: body.access_token });
    expect(answer.body['user_id']).toBe(alice.userId);
  });

  it('is refused without scripts', async () => {
    const { device_code, user_code } = await begin();
    const page = await browser().openAs(alice.userId, '/account/link', { javaScriptEnabled: false });
    await page.getByLabel('Code').fill(user_code.toLowerCase());
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByRole('button', { name: 'Refuse' }).click();
    expect(await heading(page)).toBe('The device was refused');
    expect((await app.pollDevice(device_code)).body).toMatchObject({ error: 'access_denied' });
  });
});

describe('Somebody who speaks German', () => {
  it('reads German, on a phone too', async () => {
    const page = await browser().open({ locale: 'de-DE', viewport: { width: 320, height: 640 } });
    await page.goto(ask().url);
    expect(await heading(page)).toBe('Anmelden');
    expect(await page.locator('html').getAttribute('lang')).toBe('de');
    await signIn(page, alice.userId);
    expect(await heading(page)).toBe('Example App Zugriff geben?');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
    await page.goto('/account');
    expect(await heading(page)).toBe('Dein Konto');
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
  });

  it('reads German about passwords, too', async () => {
    const page = await browser().open({ locale: 'de-DE' });
    await page.goto('/account/register');
    await page.locator('[name=password]').fill('password1');
    const advice = page.locator('[aria-live]');
    await expect.poll(() => advice.textContent()).toContain('Passwort');
  });
});

describe('Pages of other sites', () => {
  it('cannot send the forms of somebody who is signed in', async () => {
    const page = await browser().openAs(alice.userId);
    await page.locator('h1').waitFor();
    const evil = await browser().site(
      `<form method="post" action="${browser().baseUrl}/account/logout"><button>Win</button></form>`,
    );
    await page.goto(evil.origin);
    await page.getByRole('button').click();
    await page.getByRole('heading', { name: 'That did not work' }).waitFor();
    await page.goto('/account');
    expect(await heading(page)).toBe('Your account');
  });

  it('cannot show the pages inside of theirs', async () => {
    const evil = await browser().site(`<iframe src="${browser().baseUrl}/account/login"></iframe>`);
    const page = await browser().open();
    await page.goto(evil.origin);
    await expect.poll(() => browser().takeComplaints().join()).toContain('frame-ancestors');
  });
});

describe('The pages for clients that know no other way', () => {
  const passwordStage = async () => {
    const { body } = await browser()
      .service.matrix.call(alice, 'delete', `/devices/${alice.deviceId}`)
      .send({})
      .expect(401);
    return `${V3}/auth/m.login.password/fallback/web?session=${body.session}`;
  };

  it('hand the session to the app around them', async () => {
    const page = await browser().open();
    let session: { user_id?: string } = {};
    await page.exposeFunction('onLogin', (login: typeof session) => {
      session = login;
    });
    await page.goto('/_matrix/static/client/login/');
    await signIn(page, alice.userId);
    await expect.poll(() => session.user_id).toBe(alice.userId);
  });

  it('tell the app around them that a stage is done', async () => {
    const page = await browser().open();
    let isDone = false;
    await page.exposeFunction('onAuthDone', () => {
      isDone = true;
    });
    await page.goto(await passwordStage());
    await signIn(page, alice.userId);
    await expect.poll(() => isDone).toBe(true);
  });

  it('tell the website that has opened them', async () => {
    const site = await browser()
      .site(`<button onclick="window.open('${browser().baseUrl}${await passwordStage()}')">Go</button>
      <script>onmessage = ({ data, origin }) => { document.title = data + ' from ' + origin; };</script>`);
    const page = await browser().open();
    await page.goto(site.origin);
    const popup = page.context().waitForEvent('page');
    await page.getByRole('button').click();
    await signIn(await popup, alice.userId);
    await expect.poll(() => page.title()).toBe(`authDone from ${browser().baseUrl}`);
  });
});
