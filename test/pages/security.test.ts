import { createHash } from 'node:crypto';
import { Script } from 'node:vm';
import fc from 'fast-check';
import type request from 'supertest';
import { describe, expect, it } from 'vitest';
import { html } from '../../src/account-pages/html.js';
import { type ClientSession, PASSWORD, uniqueUsername, V3 } from '../../src/testing/index.js';
import {
  CLIENT,
  newDeviceId,
  newPkce,
  OAUTH_BASE,
  OAUTH_VARIABLES,
  OAuthClient,
  scopeOf,
} from '../support/oauth.js';
import { SigningUser } from '../support/signing.js';
import { useApp } from '../support/test-app.js';
import { type Fields, type Form, formsOf, textOf, Visitor } from '../support/visitor.js';
import { parse, skeletonOf, valuesOf } from './parse.js';
import { auditOf, isIn, signedIn } from './people.js';

const app = useApp({ variables: OAUTH_VARIABLES });

/** Everything that a form of the pages could change, of all users. */
async function state(): Promise<unknown> {
  const tables = {
    accounts: ['user_id', 'password_hash', 'deactivated_at'],
    devices: ['user_id', 'device_id', 'display_name'],
    access_tokens: ['token_digest'],
    browser_sessions: ['session_digest', 'authenticated_at'],
    oauth_grants: ['grant_digest'],
    oauth_device_grants: ['device_code_digest', 'state'],
    uia_sessions: ['session_id', 'completed', 'result'],
  };
  const rows = Object.entries(tables).map(async ([table, columns]) => [
    table,
    await app().sql(`SELECT ${columns.join(', ')} FROM ${table} ORDER BY ${columns[0]!}, ${columns.at(-1)!}`),
  ]);
  const audit = await app().sql(`SELECT entry_id FROM audit_entries WHERE action <> 'refused' ORDER BY 1`);
  return { ...Object.fromEntries(await Promise.all(rows)), audit };
}

/** A form that is filled in, in a browser. */
interface Filled {
  readonly visitor: Visitor;
  readonly action: string;
  readonly fields: Fields;
}

async function fill(
  visitor: Visitor,
  path: string,
  action: string,
  fields: Fields,
  is: (form: Form) => boolean = () => true,
): Promise<Filled> {
  const page = await visitor.get(path);
  const form = formsOf(page.text).find((one) => one.action === action && is(one));
  if (form === undefined) throw new Error(`No form ${action} in ${textOf(page)}`);
  return { visitor, action, fields: { ...form.hidden, ...fields } };
}

async function somebody(): Promise<{ session: ClientSession; visitor: Visitor }> {
  const session = await app().matrix.register();
  return { session, visitor: await signedIn(app(), session.userId) };
}

async function waitingForReset(session: ClientSession, visitor: Visitor): Promise<void> {
  const client = await OAuthClient.register(app());
  const upload = (keys: object, accessToken: string) =>
    app()
      .matrix.call({ ...session, accessToken }, 'post', '/keys/device_signing/upload')
      .send(keys);
  await upload(new SigningUser(session.userId).upload(), session.accessToken).expect(200);
  const tokens = await client.begin(visitor);
  await upload(new SigningUser(session.userId).upload(), tokens.access_token).expect(401);
}

async function challengeOf(session: ClientSession): Promise<string> {
  const { body } = await app().matrix.call(session, 'post', '/account/deactivate').send({}).expect(401);
  return body.session as string;
}

const linkedBy = async () => {
  const client = await OAuthClient.register(app());
  return (await client.device(scopeOf(newDeviceId())).expect(200)).body.user_code as string;
};

/** Every form of the pages that posts. */
const FORMS: Record<string, () => Promise<Filled>> = {
  '/account/login': async () => {
    const { userId } = await app().matrix.register();
    return fill(new Visitor(app()), '/account/login', '/account/login', {
      username: userId,
      password: PASSWORD,
    });
  },
  '/account/register': () =>
    fill(new Visitor(app()), '/account/register', '/account/register', {
      username: uniqueUsername(),
      password: PASSWORD,
    }),
  '/account/logout': async () => fill((await somebody()).visitor, '/account', '/account/logout', {}),
  '/oauth2/auth, to allow': async () => {
    const path = (await OAuthClient.register(app())).authorizePath(newPkce().challenge);
    return fill((await somebody()).visitor, path, '/oauth2/auth', { decision: 'allow' });
  },
  '/oauth2/auth, to refuse': async () => {
    const path = (await OAuthClient.register(app())).authorizePath(newPkce().challenge);
    return fill((await somebody()).visitor, path, '/oauth2/auth', { decision: 'refuse' });
  },
  '/account/link': async () =>
    fill(
      (await somebody()).visitor,
      `/account/link?user_code=${await linkedBy()}`,
      '/account/link',
      {
        decision: 'allow',
      },
      ({ method }) => method === 'post',
    ),
  '/account/rename': async () => {
    const { session, visitor } = await somebody();
    const path = `/account?action=org.matrix.device_view&device_id=${session.deviceId}`;
    return fill(visitor, path, '/account/rename', { name: 'New name' });
  },
  '/account/end': async () => {
    const { session, visitor } = await somebody();
    const path = `/account?action=org.matrix.device_delete&device_id=${session.deviceId}`;
    return fill(visitor, path, '/account/end', {});
  },
  '/account/browser': async () => {
    const { session, visitor } = await somebody();
    await signedIn(app(), session.userId);
    return fill(visitor, '/account', '/account/browser', {});
  },
  '/account/password': async () =>
    fill((await somebody()).visitor, '/account?action=password', '/account/password', {
      password: PASSWORD,
      new_password: 'another quite long phrase',
    }),
  '/account/deactivate': async () => {
    const { session, visitor } = await somebody();
    return fill(visitor, '/account?action=org.matrix.account_deactivate', '/account/deactivate', {
      confirm: session.userId,
    });
  },
  '/account/reset': async () => {
    const { session, visitor } = await somebody();
    await waitingForReset(session, visitor);
    return fill(visitor, '/account?action=org.matrix.cross_signing_reset', '/account/reset', {});
  },
  'the login fallback': async () => {
    const { userId } = await app().matrix.register();
    const path = '/_matrix/static/client/login/';
    return fill(new Visitor(app()), path, path, { username: userId, password: PASSWORD });
  },
  'the fallback of a stage': async () => {
    const session = await app().matrix.register();
    const path = `${V3}/auth/m.login.password/fallback/web`;
    return fill(new Visitor(app()), `${path}?session=${await challengeOf(session)}`, path, {
      username: session.userId,
      password: PASSWORD,
    });
  },
};

type Attack = (form: Filled) => Promise<request.Response>;

const without = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => name !== 'csrf'));

/** The token in the forms of a page, as a visitor gets it. */
async function tokenOf(visitor: Visitor, path: string): Promise<string> {
  return formsOf((await visitor.get(path)).text)[0]!.hidden['csrf'] as string;
}

const withHeaders =
  (headers: Record<string, string>): Attack =>
  ({ visitor, action, fields }) =>
    visitor.post(action, fields, headers);

/** What another site can make a browser send. Each must be refused. */
const ATTACKS: Record<string, Attack> = {
  'without a token': ({ visitor, action, fields }) => visitor.post(action, without(fields)),
  'with an empty token': ({ visitor, action, fields }) => visitor.post(action, { ...fields, csrf: '' }),
  'with a wrong token': ({ visitor, action, fields }) =>
    visitor.post(action, { ...fields, csrf: 'A'.repeat(43) }),
  'with the token of a stranger’s browser': async ({ visitor, action, fields }) =>
    visitor.post(action, { ...fields, csrf: await tokenOf(new Visitor(app()), '/account/login') }),
  'with the token of another user': async ({ visitor, action, fields }) => {
    const csrf = await tokenOf((await somebody()).visitor, '/account');
    return visitor.post(action, { ...fields, csrf });
  },
  'with the token in the address': ({ visitor, action, fields }) =>
    visitor.post(`${action}?csrf=${fields['csrf'] as string}`, without(fields)),
  'from another site': withHeaders({ Origin: 'https://evil.example' }),
  'from a host below': withHeaders({ Origin: 'https://x.matrix.example.org' }),
  'from the same host over http': withHeaders({ Origin: 'http://matrix.example.org' }),
  'from another port': withHeaders({ Origin: 'https://matrix.example.org:8443' }),
  'as a browser marks what another site sends': withHeaders({ 'Sec-Fetch-Site': 'cross-site' }),
  'as a browser marks what a neighbour sends': withHeaders({
    Origin: 'null',
    'Sec-Fetch-Site': 'same-site',
  }),
  'in a browser without cookies': ({ action, fields }) => new Visitor(app()).post(action, fields),
};

describe.each(Object.keys(FORMS))('The form of %s', (name) => {
  it('does nothing when it is sent by another site, and works when it is sent by its own page', async () => {
    const form = await FORMS[name]!();
    // What the attacks need themselves is there before.
    await tokenOf((await somebody()).visitor, '/account');
    for (const [how, attack] of Object.entries(ATTACKS)) {
      const isByUser = how === 'with the token of another user';
      const before = isByUser ? null : await state();
      const answer = await attack(form);
      expect([how, answer.status]).toEqual([how, 403]);
      expect(answer.headers['location']).toBeUndefined();
      expect(answer.text).not.toContain('data-login');
      if (!isByUser) expect([how, await state()]).toEqual([how, before]);
    }
    const before = await state();
    const answer = await form.visitor.post(form.action, form.fields, {
      Origin: OAUTH_BASE,
      'Sec-Fetch-Site': 'same-origin',
    });
    expect([200, 303]).toContain(answer.status);
    expect(await state()).not.toEqual(before);
  });

  it('takes nothing but a form', async () => {
    const { visitor, action, fields } = await FORMS[name]!();
    const before = await state();
    for (const type of ['text/plain', 'application/json', 'multipart/form-data; boundary=x']) {
      const cookie = ['__Host-session', '__Host-visitor']
        .map((one) => `${one}=${visitor.cookie(one) ?? ''}`)
        .join('; ');
      const body = type.endsWith('json')
        ? JSON.stringify(fields)
        : new URLSearchParams(fields as Record<string, string>).toString();
      const answer = await app()
        .http.post(action)
        .set({ 'Content-Type': type, Cookie: cookie })
        .serialize((text) => text as string)
        .send(body);
      expect([type, answer.status]).toEqual([type, 400]);
    }
    expect(await state()).toEqual(before);
  });

  it('does nothing when its address is opened', async () => {
    const { visitor, action, fields } = await FORMS[name]!();
    const before = await state();
    const query = new URLSearchParams(fields as Record<string, string>).toString();
    await visitor.get(`${action}?${query}`);
    await visitor.get(action);
    expect(await state()).toEqual(before);
  });
});

describe('A form', () => {
  it('is accepted from a browser that hides where it comes from, because the pages send no referrer', async () => {
    const { visitor, action, fields } = await FORMS['/account/rename']!();
    const answer = await visitor.post(action, fields, { Origin: 'null', 'Sec-Fetch-Site': 'same-origin' });
    expect(answer.status).toBe(303);
  });

  it('of before the sign-in is of no use after it', async () => {
    const { userId } = await app().matrix.register();
    const visitor = new Visitor(app());
    const csrf = await tokenOf(visitor, '/account/login');
    await visitor.signIn(userId, PASSWORD);
    expect((await visitor.post('/account/logout', { csrf })).status).toBe(403);
    expect(await isIn(visitor)).toBe(true);
  });

  it('of one sign-in is of no use in the next', async () => {
    const { session, visitor } = await somebody();
    const csrf = await tokenOf(visitor, '/account');
    await visitor.signIn(session.userId, PASSWORD);
    expect((await visitor.post('/account/logout', { csrf })).status).toBe(403);
  });

  it('does not tell the cookie that its token comes from', async () => {
    const { visitor } = await somebody();
    const page = await visitor.get('/account');
    expect(page.text).not.toContain(visitor.cookie('__Host-session'));
    expect(page.text).not.toContain(visitor.cookie('__Host-session')!.split('_')[2]);
  });

  it('is refused with a body that is too long', async () => {
    const { visitor, action, fields } = await FORMS['/account/rename']!();
    const answer = await visitor.post(action, { ...fields, more: 'x'.repeat(70_000) });
    expect(answer.status).toBe(413);
    expect(answer.headers['content-type']).toMatch(/^text\/html/);
  });

  it.each(['name=%00', 'name=%FF', 'name=%ED%A0%80', 'name=%'])('is refused with %s', async (pair) => {
    const { visitor, action } = await FORMS['/account/rename']!();
    const answer = await app()
      .http.post(action)
      .set('Cookie', `__Host-session=${visitor.cookie('__Host-session')!}`)
      .type('form')
      .send(pair);
    expect(answer.status).toBe(400);
    expect(textOf(answer)).toContain('That did not work');
  });
});

describe('A stranger', () => {
  it('cannot sign somebody in to the stranger’s own account', async () => {
    const mallory = await app().matrix.register();
    const attacker = new Visitor(app());
    const csrf = await tokenOf(attacker, '/account/login');
    for (const victim of [new Visitor(app()), (await somebody()).visitor]) {
      await victim.get('/account/login');
      const before = victim.cookie('__Host-session');
      const answer = await victim.post('/account/login', {
        csrf,
        username: mallory.userId,
        password: PASSWORD,
      });
      expect(answer.status).toBe(403);
      expect(victim.cookie('__Host-session')).toBe(before);
    }
    expect(await auditOf(app(), mallory.userId, 'browser_login')).toEqual([]);
  });

  it('who is not signed in can do none of what needs it', async () => {
    const paths = ['link', 'rename', 'end', 'browser', 'password', 'deactivate', 'reset'];
    const before = await state();
    for (const path of [...paths.map((one) => `/account/${one}`), '/oauth2/auth']) {
      const visitor = new Visitor(app());
      const csrf = await tokenOf(visitor, '/account/login');
      const answer = await visitor.post(path, { csrf, decision: 'allow', device_id: 'X', name: 'x' });
      expect([path, answer.status]).toEqual([path, 403]);
      expect(textOf(answer)).toContain('You have been signed out');
    }
    expect(await state()).toEqual(before);
  });
});

/** The policy of a page, by directive. */
function policyOf({ headers }: request.Response): Map<string, string> {
  const text = headers['content-security-policy'] ?? '';
  const directives = text.split(';').map((one) => one.trim().split(' '));
  expect(new Set(directives.map(([name]) => name)).size).toBe(directives.length);
  return new Map(directives.map(([name, ...sources]) => [name!, sources.join(' ')]));
}

/** Every page, and the errors that pages have. */
const PAGES: Record<string, () => Promise<request.Response>> = {
  'to sign in': () => new Visitor(app()).get('/account/login'),
  'to register': () => new Visitor(app()).get('/account/register'),
  'of a wrong password': async () => {
    const { visitor, action, fields } = await FORMS['/account/login']!();
    return visitor.post(action, { ...fields, password: 'wrong' });
  },
  'after signing out': async () => {
    const { visitor, action, fields } = await FORMS['/account/logout']!();
    return visitor.post(action, fields);
  },
  'of the account': async () => (await somebody()).visitor.get('/account'),
  'of a session': async () => {
    const { session, visitor } = await somebody();
    return visitor.get(`/account?action=org.matrix.device_view&device_id=${session.deviceId}`);
  },
  'to end sessions': async () =>
    (await somebody()).visitor.get('/account?action=org.matrix.device_delete&mode=all'),
  'to change the password': async () => (await somebody()).visitor.get('/account?action=password'),
  'to deactivate': async () =>
    (await somebody()).visitor.get('/account?action=org.matrix.account_deactivate'),
  'to reset': async () => (await somebody()).visitor.get('/account?action=org.matrix.cross_signing_reset'),
  'to link a device': async () => (await somebody()).visitor.get('/account/link'),
  'to link this device': async () =>
    (await somebody()).visitor.get(`/account/link?user_code=${await linkedBy()}`),
  'of a wrong code': async () => (await somebody()).visitor.get('/account/link?user_code=BBBB-BBBB'),
  'of an unknown app': () => new Visitor(app()).get('/oauth2/auth?client_id=unknown'),
  'of a broken address': () => new Visitor(app()).get('/account/login?continue=%FF'),
  'of a forged form': () => new Visitor(app()).post('/account/login', {}),
  'of the login fallback': () => new Visitor(app()).get('/_matrix/static/client/login/'),
  'of a stage': async () =>
    new Visitor(app()).get(
      `${V3}/auth/m.login.password/fallback/web?session=${await challengeOf(await app().matrix.register())}`,
    ),
  'of an unknown stage': () => new Visitor(app()).get(`${V3}/auth/m.login.dummy/fallback/web?session=x`),
};

const question = async (metadata: object = CLIENT, redirect_uri = CLIENT.redirect_uris[0]!) => {
  const path = (await OAuthClient.register(app(), metadata)).authorizePath(newPkce().challenge, {
    redirect_uri,
  });
  const page = await (await somebody()).visitor.get(path);
  expect(formsOf(page.text)[0]!.action).toBe('/oauth2/auth');
  return page;
};

describe('The headers of pages', () => {
  it.each(Object.keys({ ...PAGES, 'of an app': question }))('%s', async (name) => {
    const page = await (PAGES[name] ?? question)();
    const policy = policyOf(page);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.headers).toMatchObject({
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
    expect(Object.keys(page.headers).filter((one) => one.startsWith('access-control'))).toEqual([]);
    expect(page.headers['x-powered-by']).toBeUndefined();
    const { text: style } = parse(page.text).find(
      (_, at, all) =>
        at > 0 && all[at - 1]!.kind === 'tag' && (all[at - 1] as { name: string }).name === 'style',
    ) as { text: string };
    const digest = createHash('sha256').update(style).digest('base64');
    expect(Object.fromEntries(policy)).toEqual({
      'default-src': "'none'",
      'style-src': `'sha256-${digest}'`,
      'script-src': `${OAUTH_BASE}/account/pages.js`,
      'connect-src': "'self'",
      'frame-ancestors': "'none'",
      'base-uri': "'none'",
      'form-action': name === 'of an app' ? "'self' https://app.example.net" : "'self'",
    });
    // Nothing that the policy would stop, and one of everything that assistive technology looks for.
    expect(valuesOf(page.text, 'style')).toEqual([]);
    const skeleton = skeletonOf(page.text);
    expect(skeleton.filter((one) => /\bon\w+/.test(one.replace(/^\S+/, '')))).toEqual([]);
    expect(skeleton.filter((one) => one.startsWith('script'))).toEqual(['script src defer']);
    expect(skeleton.filter((one) => one === 'h1')).toHaveLength(1);
    expect(skeleton.filter((one) => one === 'title')).toHaveLength(1);
    expect(valuesOf(page.text, 'lang')).toEqual(['en']);
    const ids = valuesOf(page.text, 'id');
    expect(new Set(ids).size).toBe(ids.length);
    for (const one of valuesOf(page.text, 'for')) expect(ids).toContain(one);
    for (const one of valuesOf(page.text, 'aria-describedby').flatMap((list) => list.split(' ')))
      expect(ids).toContain(one);
  });

  it('redirects are kept by nobody, too, and tell no referrer', async () => {
    const { visitor, action, fields } = await FORMS['/oauth2/auth, to allow']!();
    for (const answer of [
      await visitor.post(action, fields),
      await new Visitor(app()).get('/account'),
      await new Visitor(app()).get((await OAuthClient.register(app())).authorizePath('wrong')),
    ]) {
      expect(answer.status).toBe(303);
      expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
  });

  const native = {
    ...CLIENT,
    application_type: 'native',
    redirect_uris: [
      'net.example.app:/callback',
      'net.example.app.beta:/callback',
      'http://127.0.0.1/callback',
      'http://localhost/callback',
      'http://[::1]/callback',
      'https://login.app.example.net:8443/callback?x=1',
    ],
  };

  it.each([
    ['net.example.app:/callback', 'net.example.app:'],
    ['net.example.app.beta:/callback', 'net.example.app.beta:'],
    ['http://127.0.0.1:4321/callback', 'http://127.0.0.1:4321'],
    ['http://localhost:4321/callback', 'http://localhost:4321'],
    ['https://login.app.example.net:8443/callback?x=1', 'https://login.app.example.net:8443'],
  ])('let the form of the question end at %s', async (uri, source) => {
    const { redirect_uris, ...rest } = native;
    const host = 'https://app.example.net/';
    const page = await question({ ...rest, client_uri: host, redirect_uris }, uri);
    expect(policyOf(page).get('form-action')).toBe(`'self' ${source}`);
    expect(textOf(page)).toContain(`You go on to ${source}`);
  });

  it('let the form of the question end at an app on an IPv6 address, in words that browsers know', async () => {
    const page = await question(native, 'http://[::1]:4321/callback');
    const [, source = ''] = policyOf(page).get('form-action')!.split(' ');
    // The grammar of sources has no brackets: browsers ignore such a source, and stop the redirect to the app.
    expect(source).toMatch(/^(?:[a-z][a-z0-9+.-]*:|https?:\/\/(?:\*|[a-z0-9.-]+)(?::\d+)?)$/);
  });
});

describe('The script of the pages', () => {
  it('is a file that browsers may keep and take for nothing else', async () => {
    const answer = await app().http.get('/account/pages.js').expect(200);
    expect(answer.headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'cache-control': 'public, max-age=3600',
    });
    expect(() => new Script(answer.text)).not.toThrow();
  });

  it('has no logo beside it unless there is one', async () => {
    await app().http.get('/account/logo').expect(404);
  });
});

const EVIL = `"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;b&gt;&#39;{{7*7}}\${7*7}<!--`;

describe('Text that strangers choose', () => {
  const evilUri = (path: string) => `https://app.example.net/${path}"'><script>alert(1)</script>&amp;`;
  const evil = {
    ...CLIENT,
    client_name: EVIL,
    client_uri: evilUri('app'),
    tos_uri: evilUri('tos'),
    policy_uri: evilUri('policy'),
    redirect_uris: [evilUri('callback')],
  };
  const harmless = {
    ...CLIENT,
    client_name: 'Harmless',
    tos_uri: 'https://app.example.net/tos',
    policy_uri: 'https://app.example.net/policy',
  };
  /** A device ID may have every character of a scope token. */
  const device = `'<script>alert(1)</script>&amp;<!--`;

  it('stays text in the question of an app, whatever the app says of itself', async () => {
    const page = await question(evil, evil.redirect_uris[0]);
    expect(skeletonOf(page.text)).toEqual(skeletonOf((await question(harmless)).text));
    expect(textOf(page)).toContain(`Let ${EVIL} in?`);
    expect(valuesOf(page.text, 'href')).toEqual(expect.arrayContaining([evil.tos_uri, evil.policy_uri]));
    expect(textOf(page)).toContain('Website of the app app.example.net');
  });

  it('stays text on the sign-in page of an app', async () => {
    const shown = async (metadata: { redirect_uris: string[] }, login_hint: string) => {
      const client = await OAuthClient.register(app(), metadata);
      const [redirect_uri] = metadata.redirect_uris;
      const visitor = new Visitor(app());
      return visitor.follow(
        await visitor.get(client.authorizePath(newPkce().challenge, { redirect_uri, login_hint })),
      );
    };
    const page = await shown(evil, EVIL);
    expect(skeletonOf(page.text)).toEqual(skeletonOf((await shown(harmless, 'x')).text));
    expect(valuesOf(page.text, 'value')).toContain(EVIL);
  });

  it('stays text on the account page and on that of a session', async () => {
    const shown = async (metadata: typeof CLIENT, deviceId: string) => {
      const { visitor } = await somebody();
      const client = await OAuthClient.register(app(), metadata);
      const [redirect_uri] = metadata.redirect_uris;
      const { verifier, challenge } = newPkce();
      const code = await client.authorize(visitor, challenge, { redirect_uri, scope: scopeOf(deviceId) });
      await client.exchange(code.get('code')!, verifier, { redirect_uri: redirect_uri! }).expect(200);
      const query = new URLSearchParams({ device_id: deviceId }).toString();
      return [
        await visitor.get('/account'),
        await visitor.get(`/account?action=org.matrix.device_view&${query}`),
        await visitor.get(`/account?action=org.matrix.device_delete&${query}`),
        await visitor.get(`/account?action=org.matrix.device_delete&mode=others&${query}`),
      ];
    };
    const [pages, plain] = [await shown(evil, device), await shown(harmless, newDeviceId())];
    expect(pages.map(({ text }) => skeletonOf(text))).toEqual(plain.map(({ text }) => skeletonOf(text)));
    expect(textOf(pages[1]!)).toContain(`Device ID ${device}`);
    expect(textOf(pages[1]!)).toContain(`App ${EVIL}`);
  });

  it('stays text when it comes from the header of a browser or the name of a device', async () => {
    const { session, visitor } = await somebody();
    await app()
      .matrix.call(session, 'put', `/devices/${session.deviceId}`)
      .send({ display_name: EVIL.slice(0, 100) })
      .expect(200);
    const plain = await somebody();
    await app()
      .matrix.call(plain.session, 'put', `/devices/${plain.session.deviceId}`)
      .send({ display_name: 'Phone' })
      .expect(200);
    await signedIn(app(), session.userId, { 'User-Agent': EVIL });
    await signedIn(app(), plain.session.userId, { 'User-Agent': 'Browser' });
    const page = await visitor.get('/account');
    const entries = (text: string) => skeletonOf(text).filter((one) => one !== 'span class');
    expect(entries(page.text)).toEqual(entries((await plain.visitor.get('/account')).text));
    expect(textOf(page)).toContain(EVIL);
  });

  it.each([
    '/account/login?continue=X',
    '/account/login?ui_locales=X',
    '/account/login?X',
    '/account/register?continue=X',
    '/account?action=X',
    '/account?done=X',
    '/account?action=org.matrix.device_view&device_id=X',
    '/account?action=org.matrix.device_delete&device_id=X&mode=X',
    '/account/link?user_code=X',
    '/oauth2/auth?client_id=X&redirect_uri=X',
    '/_matrix/static/client/login/?device_id=X&initial_device_display_name=X',
    '/_matrix/client/v3/auth/m.login.dummy/fallback/web?session=X',
    '/_matrix/client/v3/auth/X/fallback/web?session=X',
  ])('stays text in %s', async (path) => {
    const { visitor } = await somebody();
    const [page, plain] = [
      await visitor.get(path.replaceAll('X', encodeURIComponent(EVIL))),
      await visitor.get(path.replaceAll('X', 'harmless')),
    ];
    expect(page.status).toBe(plain.status);
    expect(skeletonOf(page.text)).toEqual(skeletonOf(plain.text));
  });

  it.each(['state', 'nonce', 'ui_locales', 'login_hint', 'unknown', 'acr_values'])(
    'stays text in the question of an app, in the parameter %s',
    async (name) => {
      const client = await OAuthClient.register(app());
      const { visitor } = await somebody();
      const shown = (value: string) =>
        visitor.get(client.authorizePath(newPkce().challenge, { [name]: value }));
      const page = await shown(EVIL);
      expect(page.status).toBe(200);
      expect(skeletonOf(page.text)).toEqual(skeletonOf((await shown('harmless')).text));
      const request = new URLSearchParams(formsOf(page.text)[0]!.hidden['request'] as string);
      expect(request.get(name)).toBe(EVIL);
    },
  );

  it('stays text when a form is shown again', async () => {
    for (const [path, name] of [
      ['/account/login', 'username'],
      ['/account/register', 'username'],
      ['/_matrix/static/client/login/', 'username'],
    ] as const) {
      const shown = async (value: string) => {
        const visitor = new Visitor(app());
        return visitor.submit(await visitor.get(path), { [name]: value, password: 'wrong password' });
      };
      const [page, plain] = [await shown(EVIL), await shown('no such name')];
      expect([path, page.status]).toEqual([path, plain.status]);
      expect(skeletonOf(page.text)).toEqual(skeletonOf(plain.text));
      expect(valuesOf(page.text, 'value')).toContain(EVIL);
    }
  });
});

describe('The template', () => {
  it('gives back every text that is put into it, and lets none become a tag', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '<',
        '>',
        '"',
        "'",
        '&',
        '&amp;',
        '&lt',
        '<script>',
        '</p>',
        '<!--',
        ']]>',
        '"x="',
        '`',
      ),
      fc.constant(EVIL),
    );
    const text = fc.array(piece, { maxLength: 6 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, text, fc.array(text, { maxLength: 4 }), (attribute, content, list) => {
        const inner = list.map((one) => html`<li title="${one}">${one}</li>`);
        // prettier-ignore
        const printed = html`<p title="${attribute}" class="x">${content}</p><ul>${inner}</ul>`.toString();
        const tokens = parse(printed);
        const tags = tokens.filter((token) => token.kind === 'tag');
        expect(tags.map(({ name }) => name)).toEqual([
          'p',
          '/p',
          'ul',
          ...list.flatMap(() => ['li', '/li']),
          '/ul',
        ]);
        expect([...tags[0]!.attributes]).toEqual([
          ['title', attribute],
          ['class', 'x'],
        ]);
        expect(valuesOf(printed, 'title')).toEqual([attribute, ...list]);
        const texts = tokens.flatMap((token) => (token.kind === 'text' ? [token.text] : []));
        expect(texts).toEqual([content, ...list].filter((one) => one !== ''));
      }),
      { numRuns: 500 },
    );
  });

  it('leaves nothing of what is missing, writes numbers, and escapes a template but once', () => {
    const inner = html`<b>${'<'}</b>`;
    expect(html`${null}${undefined}${false}${''}${0}${[inner, 'x', null]}`.toString()).toBe('0<b>&lt;</b>x');
  });
});

describe('Interactive authentication', () => {
  it('does not accept the password of a page as a proof of another request', async () => {
    const session = await app().matrix.register();
    const first = await challengeOf(session);
    const visitor = new Visitor(app());
    const path = `${V3}/auth/m.login.password/fallback/web`;
    await visitor.submit(await visitor.get(`${path}?session=${first}`), {
      username: session.userId,
      password: PASSWORD,
    });
    const other = await challengeOf(session);
    await app()
      .matrix.call(session, 'post', '/account/deactivate')
      .send({ auth: { session: other } })
      .expect(401);
    await app()
      .matrix.call(session, 'post', '/account/password')
      .send({ new_password: 'another quite long phrase', auth: { session: first } })
      .expect(403);
    expect(await app().matrix.login(session.userId)).toMatchObject({ userId: session.userId });
  });
});
