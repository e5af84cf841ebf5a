import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { asItIs, type ClientSession, passwordOf, someKeys } from '../../src/testing/matrix-client.js';
import { SigningUser } from '../support/signing.js';
import { useApp } from '../support/test-app.js';

const app = useApp({ variables: { GUESTS: 'allowed', PASSWORD_MIN_LENGTH: '1' } });

/** One session for all requests, until one of them ends it. */
let session: ClientSession;
const renew = async () => (session = await app().matrix.register({ device_id: 'D', refresh_token: true }));
beforeAll(renew);

const METHODS = ['get', 'put', 'post', 'delete'] as const;
type Endpoint = { method: (typeof METHODS)[number]; path: string };

/** Every endpoint that the service describes. */
async function endpoints(): Promise<Endpoint[]> {
  const { body } = await app().http.get('/docs/openapi.json').expect(200);
  return Object.entries(body.paths as Record<string, Record<string, object>>).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => ({ method, path })),
  );
}

/** Every name that occurs in a body, at any depth. */
const NAMES = `
  algorithms auth address country data device_id device_keys devices display_name erase fallback fallback_keys guest_access_token
  identifier inhibit_login initial_device_display_name key keys locked logout_devices master_key medium new_password number
  one_time_keys password phone refresh_token self_signing_key session signatures signed_curve25519:AAAA suspended timeout token
  type unsigned usage user user_id user_signing_key username @alice:localhost ed25519:D constructor __proto__ toString
`
  .trim()
  .split(/\s+/);

const name = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...NAMES) }, fc.string({ unit: 'binary' }));
const leaf = fc.oneof(
  fc.constantFrom(
    'm.login.password',
    'm.login.dummy',
    'm.login.token',
    'm.id.user',
    'email',
    'alice',
    '',
    '*',
  ),
  fc.constantFrom(
    'D',
    '@alice:localhost',
    'signed_curve25519',
    'ed25519:D',
    'master',
    '\0',
    '\ud800',
    '__proto__',
  ),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.maxSafeInteger(),
  fc.boolean(),
  fc.constant(null),
);
const { value } = fc.letrec<{ value: unknown; object: object; list: unknown[] }>((tie) => ({
  value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('object'), tie('list')),
  object: fc
    .array(fc.tuple(name, tie('value')), { maxLength: 6 })
    .map((entries) => Object.fromEntries(entries) as object),
  list: fc.array(tie('value'), { maxLength: 4 }),
}));
const body = fc.oneof(
  { weight: 8, arbitrary: value.map((json) => JSON.stringify(json)) },
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '{', 'null', '[]', '"x"', '{"a":1e400}', '{"auth":{"session":"x"}}'),
);
const parameter = fc.oneof(
  fc.constantFrom('D', '@alice:localhost', '%00', '%zz', '%2F', '..', '%F0%9F%98%80', '%C3%28', '*'),
  fc.string({ minLength: 1, unit: 'grapheme' }).map(encodeURIComponent),
);

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

/** Returns the object with one of its values, at any depth, replaced. */
function mutated(object: unknown, at: number, by: unknown): unknown {
  let count = 0;
  const walk = (node: unknown): unknown => {
    count += 1;
    if (count - 1 === at) return by;
    if (Array.isArray(node)) return node.map(walk);
    if (typeof node !== 'object' || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([key, child]) => [key, walk(child)]));
  };
  return walk(object);
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
