import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { type ClientSession, PASSWORD, uniqueUsername } from '../../src/testing/matrix-client.js';
import { signIn, useChromium } from '../support/chromium.js';
import { CLIENT, newDeviceId } from '../support/oauth.js';
import { SigningUser } from '../support/signing.js';

const browser = useChromium();

const matrix = () => browser().service.matrix;
const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const link = (page: Page, name: string) => page.getByRole('link', { name, exact: true });

/** Whether each session still works. */
async function statusesOf(sessions: readonly ClientSession[]): Promise<number[]> {
  const answers = await Promise.all(sessions.map((session) => matrix().whoami(session)));
  return answers.map(({ status }) => status);
}

/** Somebody with a phone, a tablet and a laptop. */
async function owner(): Promise<[ClientSession, ClientSession, ClientSession]> {
  const username = uniqueUsername();
  const phone = await matrix().register({ username, initial_device_display_name: 'Phone' });
  const tablet = await matrix().login(username, { initial_device_display_name: 'Tablet' });
  const laptop = await matrix().login(username, { initial_device_display_name: 'Laptop' });
  return [phone, tablet, laptop];
}

describe('The account page', () => {
  it('ends all sessions but one, and signs out other browsers', async () => {
    const sessions = await owner();
    const [phone] = sessions;
    const other = await browser().openAs(phone.userId);
    await other.locator('h1').waitFor();
    const page = await browser().openAs(phone.userId);
    await link(page, 'Phone').click();
    await link(page, 'Sign out all but this one').click();
    expect(await page.locator('main li').allInnerTexts()).toEqual([`Phone (${phone.deviceId})`]);
    await button(page, 'Sign out').click();
    await page.getByRole('status').waitFor();
    expect(await page.locator('main h3 a').allInnerTexts()).toEqual(['Phone']);
    expect(await statusesOf(sessions)).toEqual([200, 401, 401]);
    await other.reload();
    expect(await other.locator('h1').textContent()).toBe('Sign in');
  });

  it('ends the sessions that somebody selects', async () => {
    const sessions = await owner();
    const page = await browser().openAs(sessions[0].userId);
    await page.getByRole('checkbox', { name: 'Select Tablet' }).check();
    await page.getByRole('checkbox', { name: 'Select Phone' }).check();
    await button(page, 'Sign out the selected').click();
    await button(page, 'Sign out').click();
    expect(await page.getByRole('status').textContent()).toBe('2 devices are signed out.');
    expect(await statusesOf(sessions)).toEqual([401, 401, 200]);
  });

  it('ends all sessions, and stays', async () => {
    const sessions = await owner();
    const page = await browser().openAs(sessions[0].userId);
    await button(page, 'Sign out everywhere').click();
    await button(page, 'Sign out').click();
    expect(await page.getByRole('status').textContent()).toBe('All devices are signed out.');
    expect(await statusesOf(sessions)).toEqual([401, 401, 401]);
  });

  it('names a session', async () => {
    const [phone] = await owner();
    const page = await browser().openAs(phone.userId);
    await link(page, 'Phone').click();
    await page.getByLabel('Name').fill('<b>Old</b> phone & "more"');
    await page.getByLabel('Name').press('Enter');
    expect(await page.getByRole('status').textContent()).toBe('The name is saved.');
    expect(await page.locator('h1').textContent()).toBe('<b>Old</b> phone & "more"');
    expect(await matrix().devices(phone)).toContainEqual({
      device_id: phone.deviceId,
      display_name: '<b>Old</b> phone & "more"',
    });
  });

  it('signs another browser out, and then this one', async () => {
    const [phone] = await owner();
    const other = await browser().openAs(phone.userId);
    await other.locator('h1').waitFor();
    const page = await browser().openAs(phone.userId);
    await button(page, 'Sign out').click();
    await page.getByRole('status').waitFor();
    await other.reload();
    expect(await other.locator('h1').textContent()).toBe('Sign in');
    await button(page, 'Sign out of this page').click();
    await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
    await page.goto('/account');
    expect(await page.locator('h1').textContent()).toBe('Sign in');
    expect(await statusesOf([phone])).toEqual([200]);
  });

  it('changes the password', async () => {
    const sessions = await owner();
    const [{ userId }] = sessions;
    const page = await browser().openAs(userId);
    await link(page, 'Change the password').click();
    await page.getByLabel('Old password').fill(PASSWORD);
    await page.getByLabel('New password').fill('violet tractor under a bridge');
    await expect.poll(() => page.locator('[aria-live]').textContent()).toBe('Good password.');
    await button(page, 'Change the password').click();
    await page.getByRole('heading', { name: 'The password is changed.' }).waitFor();
    expect(await statusesOf(sessions)).toEqual([401, 401, 401]);
    const again = await browser().open();
    await again.goto('/account/login');
    await signIn(again, userId);
    await again.getByRole('alert').waitFor();
    await signIn(again, userId, 'violet tractor under a bridge');
    await again.getByRole('heading', { name: 'Your account' }).waitFor();
  });

  it('lets a device reset the encryption', async () => {
    const app = await browser().registerClient(CLIENT);
    const { userId } = await matrix().register();
    const tokens = await app.signIn(userId, newDeviceId());
    const upload = (keys: object) =>
      matrix()
        .call(
          { userId, deviceId: '', accessToken: tokens.access_token },
          'post',
          '/keys/device_signing/upload',
        )
        .send(keys);
    await upload(new SigningUser(userId).upload()).expect(200);
    const others = new SigningUser(userId).upload();
    const { body } = await upload(others).expect(401);
    const page = await browser().openAs(userId);
    await link(page, 'Approve a reset of your encryption').click();
    await button(page, 'Approve the reset').click();
    await page.getByRole('heading', { name: 'The reset is approved' }).waitFor();
    await upload({ ...others, auth: { session: body.session } }).expect(200);
  });

  it('gives the account up', async () => {
    const sessions = await owner();
    const [{ userId }] = sessions;
    const page = await browser().openAs(userId);
    await link(page, 'Deactivate the account').click();
    await page.getByLabel(`Type ${userId} to confirm`).fill('me');
    await button(page, 'Deactivate for ever').click();
    await page.getByRole('alert').waitFor();
    expect(await statusesOf(sessions)).toEqual([200, 200, 200]);
    await page.getByLabel(`Type ${userId} to confirm`).fill(userId);
    await button(page, 'Deactivate for ever').click();
    await page.getByRole('heading', { name: 'The account is deactivated' }).waitFor();
    expect(await statusesOf(sessions)).toEqual([401, 401, 401]);
    await page.goto('/account');
    expect(await page.locator('h1').textContent()).toBe('Sign in');
  });
});
