import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type ClientSession, passwordOf, TestApp } from 'matrix-session-service/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CreatePushers1764100000000 } from '../src/create-pushers.migration.js';
import { PushWorkersSubscriber } from '../src/push-workers.subscriber.js';
import { PushersListener } from '../src/pushers.listener.js';
import { PushersModule } from '../src/pushers.module.js';

let app: TestApp;
let workers: Server;
let told: { devices: { deviceId: string }[] }[] = [];

beforeAll(async () => {
  workers = createServer((request, response) => {
    request.setEncoding('utf8').on('data', (body: string) => told.push(JSON.parse(body)));
    request.on('end', () => response.end());
  }).listen(0, '127.0.0.1');
  await once(workers, 'listening');
  const { port } = workers.address() as AddressInfo;
  app = await TestApp.start({
    extensions: [PushersModule.forRoot({ workersUrl: `http://127.0.0.1:${port}/` })],
    migrations: [CreatePushers1764100000000],
  });
});
afterAll(async () => {
  await app.stop();
  workers.close();
});
beforeEach(async () => {
  await app.drain();
  told = [];
});

const PUSHER = {
  app_id: 'org.example.app',
  app_display_name: 'Example',
  device_display_name: 'Phone',
  lang: 'en',
  kind: 'http',
  data: { url: 'https://push.example.org/_matrix/push/v1/notify', format: 'event_id_only' },
};
const set = (session: ClientSession, pusher: object) =>
  app.matrix.call(session, 'post', '/pushers/set').send({ ...PUSHER, ...pusher });
const pushkeys = async (session: ClientSession): Promise<string[]> => {
  const answer = await app.matrix.call(session, 'get', '/pushers').expect(200);
  return answer.body.pushers.map(({ pushkey }: { pushkey: string }) => pushkey);
};

describe('Pushers', () => {
  it('are listed as they were set, changed, and removed by kind null', async () => {
    const phone = await app.matrix.register();
    await set(phone, { pushkey: 'a' }).expect(200);
    await set(phone, { pushkey: 'a', lang: 'de' }).expect(200);
    const { body } = await app.matrix.call(phone, 'get', '/pushers').expect(200);
    expect(body).toEqual({ pushers: [{ ...PUSHER, pushkey: 'a', lang: 'de' }] });
    await set(phone, { pushkey: 'a', kind: null }).expect(200);
    expect(await pushkeys(phone)).toEqual([]);
  });

  it('go over to who has the device now, unless they are appended', async () => {
    const [first, second, third] = [
      await app.matrix.register(),
      await app.matrix.register(),
      await app.matrix.register(),
    ];
    await set(first, { pushkey: 'shared' }).expect(200);
    await set(second, { pushkey: 'shared', append: true }).expect(200);
    expect(await pushkeys(first)).toEqual(['shared']);
    await set(third, { pushkey: 'shared' }).expect(200);
    expect([await pushkeys(first), await pushkeys(second)]).toEqual([[], []]);
  });

  it.each([
    [{ kind: undefined }, 'M_MISSING_PARAM'],
    [{ kind: 'smoke' }, 'M_BAD_JSON'],
    [{ lang: undefined }, 'M_MISSING_PARAM'],
    [{ pushkey: 'x'.repeat(513) }, 'M_BAD_JSON'],
    [{ data: {} }, 'M_MISSING_PARAM'],
    [{ data: { url: 'http://push.example.org/_matrix/push/v1/notify' } }, 'M_INVALID_PARAM'],
  ])('that are not right (%j) are refused', async (wrong, errcode) => {
    const phone = await app.matrix.register();
    const answer = await set(phone, { pushkey: 'a', ...wrong }).expect(400);
    expect(answer.body).toMatchObject({ errcode });
  });

  it('want a token', async () => {
    await app.http.get('/_matrix/client/v3/pushers').expect(401);
    expect((await app.http.post('/_matrix/client/v3/pushers/set').send(PUSHER)).status).toBe(401);
  });

  it('vanish in the transaction of the logout, which is rolled back when they cannot', async () => {
    const phone = await app.matrix.register();
    const laptop = await app.matrix.login(phone.userId);
    await set(phone, { pushkey: 'phone' }).expect(200);
    await set(laptop, { pushkey: 'laptop' }).expect(200);
    const failure = app.fail(PushersListener, 'onDevicesDeleted', { times: 1 });
    await app.matrix.logout(phone).expect(500);
    expect(failure.calls).toBe(1);
    expect(await pushkeys(phone)).toEqual(['laptop', 'phone']);
    await app.matrix.logout(phone).expect(200);
    failure.restore();
    expect(await pushkeys(laptop)).toEqual(['laptop']);
  });

  it('of the session that changes the password stay, and the others go', async () => {
    const phone = await app.matrix.register();
    const laptop = await app.matrix.login(phone.userId);
    await set(phone, { pushkey: 'phone' }).expect(200);
    await set(laptop, { pushkey: 'laptop' }).expect(200);
    const change = { new_password: 'another long phrase', auth: passwordOf(phone) };
    await app.matrix.call(phone, 'post', '/account/password').send(change).expect(200);
    expect(await pushkeys(phone)).toEqual(['phone']);
  });

  it('are never set for a device that is logged out meanwhile', async () => {
    const phone = await app.matrix.register();
    const answers = await Promise.all([set(phone, { pushkey: 'late' }), app.matrix.logout(phone)]);
    expect([200, 401]).toContain(answers[0].status);
    expect(await app.sql('SELECT FROM pushers WHERE user_id = $1', [phone.userId])).toEqual([]);
  });

  it('are forgotten by the push workers, however often it takes', async () => {
    const phone = await app.matrix.register();
    const failure = app.fail(PushWorkersSubscriber, 'onDevicesDeleted', { times: 1 });
    await app.matrix.logout(phone).expect(200);
    await app.drain();
    expect([failure.calls, told]).toEqual([1, []]);
    app.clock.advance(10_000);
    await app.drain();
    failure.restore();
    expect(told).toMatchObject([{ devices: [{ deviceId: phone.deviceId }] }]);
  });
});
