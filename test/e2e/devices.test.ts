import { describe, expect, it } from 'vitest';
import { V3 } from '../support/matrix-client.js';
import { useApp } from '../support/test-app.js';

const app = useApp();

describe('GET /devices', () => {
  it('lists the devices of the user and of nobody else', async () => {
    const phone = await app().matrix.register({
      device_id: 'PHONE',
      initial_device_display_name: 'My phone',
    });
    await app().matrix.register();
    await app().matrix.login(phone.userId, { device_id: 'LAPTOP' });
    expect(await app().matrix.devices(phone)).toEqual([
      { device_id: 'PHONE', display_name: 'My phone' },
      { device_id: 'LAPTOP' },
    ]);
  });
});

describe('GET /devices/{deviceId}', () => {
  it.each([
    'PLAIN',
    'with/slash',
    'with+plus',
    'with%percent',
    'with:colon',
    'with space',
    'äöü',
    '__proto__',
  ])('finds the device "%s"', async (device_id) => {
    const session = await app().matrix.register({ device_id });
    const path = `${V3}/devices/${encodeURIComponent(device_id)}`;
    const { body } = await app().http.get(path).auth(session.accessToken, { type: 'bearer' }).expect(200);
    expect(body).toEqual({ device_id });
  });

  it("answers 404 M_NOT_FOUND for a device that does not exist, or is another user's", async () => {
    const other = await app().matrix.register({ device_id: 'THEIRS' });
    const session = await app().matrix.register();
    for (const deviceId of ['NONE', other.deviceId]) {
      const answer = await app()
        .http.get(`${V3}/devices/${deviceId}`)
        .auth(session.accessToken, { type: 'bearer' });
      expect(answer).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } });
    }
  });
});
