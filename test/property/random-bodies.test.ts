import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { asItIs, type ClientSession, passwordOf, someKeys } from '../../src/testing/matrix-client.js';
import { body, type Endpoint, endpointsIn, mutated, parameter, value } from '../support/random-requests.js';
import { SigningUser } from '../support/signing.js';
import { useApp } from '../support/test-app.js';

const app = useApp({ variables: { GUESTS: 'allowed', PASSWORD_MIN_LENGTH: '1' } });

/** One session for all requests, until one of them ends it. */
let session: ClientSession;
const renew = async () => (session = await app().matrix.register({ device_id: 'D', refresh_token: true }));
beforeAll(renew);

const endpoints = async () => endpointsIn((await app().http.get('/docs/openapi.json').expect(200)).body);

/** Valid bodies, which {@link mutated} makes invalid. */
function goodBodies(): object[] {
  const auth = passwordOf(session);
  return [
    someKeys(session),
    { ...new SigningUser(session.userId).upload(), auth },
    { device_keys: { [session.userId]: ['D'] } },
    { one_time_keys: { [session.userId]: { D: 'signed_curve25519' } } },
    { [session.userId]: { D: someKeys(session)['device_keys'] } },
    { devices: ['X'], auth },
    { ...auth, refresh_token: true, device_id: 'D' },
    { refresh_token: session.refreshToken },
    { username: 'alice', password: 'down the rabbit hole', auth: { type: 'm.login.dummy' } },
    { new_password: 'down the rabbit hole', logout_devices: false, auth },
  ];
}

async function requireNo5xx({ method, path }: Endpoint, argument: string, sent: string): Promise<void> {
  const url = path.replace(/\{\w+\}/g, argument);
  const call = app().http[method](url).auth(session.accessToken, { type: 'bearer' });
  const answer = await (method === 'get' ? call : asItIs(call.type('json')).send(sent));
  expect(answer.status).toBeLessThan(500);
  if (answer.status >= 400) {
    // A challenge has flows; every other error has an errcode.
    const error = { errcode: expect.stringMatching(/^M_/), error: expect.any(String) };
    expect(answer.body).toEqual(
      answer.body.flows
        ? expect.objectContaining({ session: expect.any(String) })
        : expect.objectContaining(error),
    );
  }
  if ((await app().matrix.whoami(session)).status !== 200) await renew();
}

describe('Random bodies', () => {
  it('never give a 5xx, at any endpoint', { timeout: 120_000 }, async () => {
    const all = await endpoints();
    expect(all.length).toBeGreaterThan(25);
    for (const endpoint of all) {
      const property = fc.asyncProperty(parameter, body, (argument, sent) =>
        requireNo5xx(endpoint, argument, sent),
      );
      await fc.assert(property, { numRuns: 40 });
    }
  });

  it('that are almost valid never give a 5xx either', { timeout: 120_000 }, async () => {
    const taking = (await endpoints()).filter(({ method }) => method !== 'get');
    expect(taking.length).toBeGreaterThan(15);
    for (const endpoint of taking) {
      const property = fc.asyncProperty(fc.nat(9), fc.nat(30), value, async (which, at, by) => {
        const sent = mutated(goodBodies()[which], at, by);
        await requireNo5xx(endpoint, 'D', JSON.stringify(sent));
      });
      await fc.assert(property, { numRuns: 40 });
    }
  });
});
