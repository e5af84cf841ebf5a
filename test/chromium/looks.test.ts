import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import axe from 'axe-core';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { type ClientSession, PASSWORD, V3 } from '../../src/testing/matrix-client.js';
import { readableOn } from '../../src/account-pages/colors.rules.js';
import { styleFor } from '../../src/account-pages/templates/style.js';
import { signIn, useChromium } from '../support/chromium.js';
import { CLIENT, newPkce, type OAuthClient, scopeOf } from '../support/oauth.js';
import { SigningUser } from '../support/signing.js';

const TOKEN = 'invitation-1';
const logo = join(await temporaryDirectory(), 'logo.svg');
await writeFile(
  logo,
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><circle cx="20" cy="20" r="20" fill="#0b6e4f"/>
  <path d="M10 28V12h4l6 8 6-8h4v16" fill="none" stroke="#fff" stroke-width="3"/></svg>`,
);
const browser = useChromium({ REGISTRATION: 'token', REGISTRATION_TOKENS: TOKEN, PAGES_LOGO: logo });
const screenshots = process.env['SCREENSHOTS'] ?? (await temporaryDirectory());

const SIZES = { phone: { width: 320, height: 640 }, desktop: { width: 1280, height: 800 } };

type Signed = NonNullable<BrowserContextOptions['storageState']>;

interface User {
  readonly session: ClientSession;
  readonly signedIn: Signed;
}

let app: OAuthClient;
/** Has sessions of all kinds. */
let alice: User;
/** Has signed in on the pages long ago. */
let bob: User;
/** Waits for a reset of her encryption. */
let carol: User;

/** Begins to register, and returns the ID of the interactive authentication. */
async function beginToRegister(username: string): Promise<string> {
  const { body } = await browser()
    .service.http.post(`${V3}/register`)
    .send({ username, password: PASSWORD })
    .expect(401);
  return body.session as string;
}

async function register(username: string): Promise<User> {
  const session = await browser().service.matrix.register({
    username,
    initial_device_display_name: 'Element X on Pixel 9',
    auth: { type: 'm.login.registration_token', token: TOKEN, session: await beginToRegister(username) },
  });
  const page = await browser().openAs(session.userId);
  await page.locator('h1').waitFor();
  return { session, signedIn: await page.context().storageState() };
}

/** An app asks for another reset of the keys than those that it has sent. */
async function askForReset({ session }: User): Promise<void> {
  const tokens = await app.signIn(session.userId, 'CAROLSPHONE');
  const phone = { ...session, accessToken: tokens.access_token };
  const { matrix } = browser().service;
  const upload = () =>
    matrix.call(phone, 'post', '/keys/device_signing/upload').send(new SigningUser(session.userId).upload());
  await upload().expect(200);
  await upload().expect(401);
}

beforeAll(async () => {
  await mkdir(screenshots, { recursive: true });
  app = await browser().registerClient({
    ...CLIENT,
    tos_uri: 'https://app.example.net/legal/terms-of-service',
    policy_uri: 'https://app.example.net/legal/privacy-policy',
  });
  [alice, bob, carol] = [await register('alice'), await register('bob'), await register('carol')];
  const { matrix } = browser().service;
  const { userId } = alice.session;
  await matrix.login(userId);
  await matrix.login(userId, {
    initial_device_display_name: 'A_very_long_name_of_a_device_that_somebody_has_typed_without_any_blank',
  });
  await app.signIn(userId, 'ALICESPHONE');
  await askForReset(carol);
  await browser().postgres.execute(
    `UPDATE browser_sessions SET authenticated_at = now() - interval '1 hour' WHERE user_id = '${bob.session.userId}'`,
  );
});

const authorizePath = () => app.authorizePath(newPkce().challenge, { scope: scopeOf('NEWDEVICE1') });

async function goToCode(page: Page): Promise<void> {
  const { body } = await app.device(scopeOf('TELEVISION1')).expect(200);
  await page.goto(`/account/link?user_code=${body.user_code}`);
}

const action = (name: string) => `/account?action=${name}`;
const submit = (page: Page) => page.locator('main button[type=submit]').first().click();
const nobody = () => undefined;
const [asAlice, asBob, asCarol] = [() => alice, () => bob, () => carol];

/** Each page: its name, who looks at it, how they get there, and its heading. */
const GALLERY: [
  name: string,
  who: () => User | undefined,
  open: (page: Page) => Promise<unknown>,
  heading: RegExp,
][] = [
  [
    'sign-in',
    nobody,
    (page) => page.goto(`/account/login?continue=${encodeURIComponent(authorizePath())}`),
    /^Sign in$/,
  ],
  [
    'sign-in-wrong',
    nobody,
    async (page) => {
      await page.goto('/account/login');
      await signIn(page, 'nobody', 'wrong');
      await page.locator('[role=alert]').waitFor();
    },
    /^Sign in$/,
  ],
  ['register', nobody, (page) => page.goto('/account/register'), /^Create an account$/],
  [
    'register-wrong',
    nobody,
    async (page) => {
      await page.goto('/account/register');
      await page.locator('[name=token]').fill(TOKEN);
      await signIn(page, 'somebody', 'password');
      await page.locator('[role=alert]').waitFor();
    },
    /^Create an account$/,
  ],
  ['consent', asAlice, (page) => page.goto(authorizePath()), /^Let Example App in\?$/],
  ['link', asAlice, (page) => page.goto('/account/link'), /^Link a device$/],
  ['link-wrong', asAlice, (page) => page.goto('/account/link?user_code=BBBB-BBBB'), /^Link a device$/],
  ['link-question', asAlice, goToCode, /^Let Example App in\?$/],
  [
    'link-done',
    asAlice,
    async (page) => {
      await goToCode(page);
      await submit(page);
    },
    /^Your device is linked$/,
  ],
  ['account', asAlice, (page) => page.goto('/account?done=1'), /^Your account$/],
  [
    'session',
    asAlice,
    (page) => page.goto(`${action('org.matrix.device_view')}&device_id=ALICESPHONE&done=renamed`),
    /^Example App$/,
  ],
  [
    'end',
    asAlice,
    async (page) => {
      await page.goto('/account');
      for (const box of await page.getByRole('checkbox').all()) await box.check();
      await page.getByRole('button', { name: 'Sign out the selected' }).click();
    },
    /^Sign out devices$/,
  ],
  [
    'end-others',
    asAlice,
    (page) => page.goto(`${action('org.matrix.device_delete')}&mode=others&device_id=ALICESPHONE`),
    /^Sign out devices$/,
  ],
  [
    'end-all-proof',
    asBob,
    (page) => page.goto(`${action('org.matrix.device_delete')}&mode=all`),
    /^Sign out devices$/,
  ],
  ['reset-none', asAlice, (page) => page.goto(action('org.matrix.cross_signing_reset')), /^Reset your/],
  [
    'reset',
    asCarol,
    (page) => page.goto(action('org.matrix.cross_signing_reset')),
    /^Reset your encryption\?$/,
  ],
  ['password', asAlice, (page) => page.goto(action('password')), /^Change the password$/],
  [
    'password-wrong',
    asAlice,
    async (page) => {
      await page.goto(action('password'));
      await page.locator('[name=password]').fill('wrong');
      await page.locator('[name=new_password]').fill('another');
      await submit(page);
      await page.locator('[role=alert]').waitFor();
    },
    /^Change the password$/,
  ],
  [
    'deactivate',
    asAlice,
    (page) => page.goto(action('org.matrix.account_deactivate')),
    /^Deactivate the account$/,
  ],
  [
    'deactivate-proof-wrong',
    asBob,
    async (page) => {
      await page.goto(action('org.matrix.account_deactivate'));
      await page.locator('[name=confirm]').fill('me');
      await page.locator('[name=password]').fill('wrong');
      await submit(page);
      await page.locator('[role=alert]').waitFor();
    },
    /^Deactivate the account$/,
  ],
  ['fallback-login', nobody, (page) => page.goto('/_matrix/static/client/login/'), /^Sign in$/],
  [
    'fallback-stage',
    nobody,
    async (page) => {
      const session = await beginToRegister('dora');
      await page.goto(`${V3}/auth/m.login.registration_token/fallback/web?session=${session}`);
    },
    /^Confirm that it is you$/,
  ],
  [
    'not-found',
    nobody,
    (page) => page.goto(`${V3}/auth/m.login.dummy/fallback/web?session=nothing`),
    /^There is no such page$/,
  ],
  [
    'unknown-app',
    nobody,
    (page) => page.goto('/oauth2/auth?client_id=nobody'),
    /^This app is not known here$/,
  ],
  [
    'old-form',
    nobody,
    async (page) => {
      await page.goto('/account/login');
      await page.context().clearCookies();
      await signIn(page, 'nobody', 'wrong');
    },
    /^That did not work$/,
  ],
  [
    'signed-out',
    asBob,
    async (page) => {
      await page.goto('/account');
      await page.getByRole('button', { name: 'Sign out of this page' }).click();
    },
    /^You are signed out$/,
  ],
];

/** What axe-core finds, of all that it knows. */
async function findings(page: Page): Promise<string[]> {
  const { violations } = await page.evaluate<axe.AxeResults>(
    `axe.run(document, { resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } })`,
  );
  return violations.map(
    ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(' ')}`,
  );
}

/** Walks through the page with Tab, like people without a mouse. Returns what they cannot reach, or cannot see. */
async function walk(page: Page): Promise<string[]> {
  const count = await page.evaluate<number>(`
    globalThis.stops = [...document.querySelectorAll('a[href], button, input:not([type=hidden]):not([hidden])')];
    stops.length`);
  const faults: string[] = [];
  for (let at = 0; at < count; at += 1) {
    await page.keyboard.press('Tab');
    const fault = await page.evaluate<string | null>(`(async () => {
      // The page scrolls before it is painted.
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      const [wanted, found] = [stops[${at}], document.activeElement];
      if (wanted !== found) return 'Tab leads to ' + found.outerHTML + ' instead of ' + wanted.outerHTML;
      const { outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(found);
      const { left, right, top, bottom } = found.getBoundingClientRect();
      const room = parseFloat(outlineWidth) + parseFloat(outlineOffset);
      const isSeen = left >= room && right <= innerWidth - room && top >= room && bottom <= innerHeight - room;
      const isMarked = outlineStyle === 'solid' && parseFloat(outlineWidth) >= 2;
      return isSeen && isMarked ? null : 'The focus is not to be seen at ' + found.outerHTML;
    })()`);
    if (fault !== null) faults.push(fault);
  }
  return faults;
}

describe('The pages, as people see them', () => {
  it.each(GALLERY)('%s', async (name, who, open, heading) => {
    const user = who();
    const page = await browser().open(user === undefined ? {} : { storageState: user.signedIn });
    await open(page);
    await expect.poll(() => page.locator('h1').allTextContents()).toEqual([expect.stringMatching(heading)]);
    await page.evaluate(axe.source);
    const faults: string[] = [];
    for (const [size, viewport] of Object.entries(SIZES)) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        faults.push(...(await findings(page)));
        await page.screenshot({
          path: join(screenshots, `${name}-${size}-${colorScheme}.png`),
          fullPage: true,
        });
      }
      const isWide = await page.evaluate<boolean>('document.documentElement.scrollWidth > innerWidth');
      if (isWide) faults.push(`The page is wider than ${viewport.width} pixels`);
    }
    await page.setViewportSize(SIZES.phone);
    faults.push(...(await walk(page)));
    expect(faults).toEqual([]);
  });
});

describe('A colour that the operator has chosen', () => {
  it.each(['#ffffff', '#ffff00', '#ff4500', '#000080', '#000000'])('can be read: %s', async (color) => {
    const page = await browser().open({ storageState: alice.signedIn, bypassCSP: true });
    await page.goto('/account?done=1');
    await page.locator('style').evaluate((style, text) => (style.textContent = text), styleFor(color));
    await page.evaluate(axe.source);
    for (const [colorScheme, card] of [
      ['light', '#ffffff'],
      ['dark', '#1a1d23'],
    ] as const) {
      await page.emulateMedia({ colorScheme });
      const main = await page.evaluate(
        `getComputedStyle(document.documentElement).getPropertyValue('--main')`,
      );
      expect(main).toBe(readableOn(card, color));
      expect(await findings(page)).toEqual([]);
    }
  });
});
