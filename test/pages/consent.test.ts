import { describe, expect, it } from 'vitest';
import { PASSWORD } from '../../src/testing/index.js';
import {
  CLIENT,
  DEVICE_CODE,
  newDeviceId,
  newPkce,
  OAUTH_VARIABLES,
  OAuthClient,
  REDIRECT_URI,
  scopeOf,
} from '../support/oauth.js';
import { useApp } from '../support/test-app.js';
import { formsOf, textOf, Visitor } from '../support/visitor.js';
import { auditOf, isIn, signedIn, thiefOf } from './people.js';

const app = useApp({ variables: OAUTH_VARIABLES });

const OTHER = {
  ...CLIENT,
  client_name: 'Other App',
  client_uri: 'https://other.example.com/',
  redirect_uris: ['https://other.example.com/callback'],
};

const somebody = async () => {
  const session = await app().matrix.register();
  return { session, visitor: await signedIn(app(), session.userId) };
};

const grantsOf = (userId: string) => app().sql('SELECT FROM oauth_grants WHERE user_id = $1', [userId]);

/** Adds parameters once more. */
const twice = (path: string, name: string, value = 'again') => `${path}&${name}=${encodeURIComponent(value)}`;

describe('A request that names no app, or no address of it', () => {
  const paths: [string, (client: OAuthClient) => string][] = [
    ['no client', (client) => client.authorizePath('c', { client_id: undefined })],
    ['an empty client', (client) => client.authorizePath('c', { client_id: '' })],
    ['an unknown client', (client) => client.authorizePath('c', { client_id: 'unknown' })],
    [
      'a client that is far too long',
      (client) => client.authorizePath('c', { client_id: 'x'.repeat(3_000) }),
    ],
    ['two clients', (client) => twice(client.authorizePath('c'), 'client_id', 'unknown')],
    ['the same client twice', (client) => twice(client.authorizePath('c'), 'client_id', client.clientId)],
    ['no address', (client) => client.authorizePath('c', { redirect_uri: undefined })],
    ['an empty address', (client) => client.authorizePath('c', { redirect_uri: '' })],
    ['two addresses', (client) => twice(client.authorizePath('c'), 'redirect_uri', REDIRECT_URI)],
    ...[
      'https://evil.example/callback',
      'https://app.example.net/callback/',
      'https://app.example.net/callback?x=1',
      'https://app.example.net/callback#x',
      'https://app.example.net/Callback',
      'https://app.example.net:443/callback',
      'https://APP.example.net/callback',
      'https://app.example.net/callback/../callback',
      'https://app.example.net/call%62ack',
      'https://app.example.net.evil.example/callback',
      'https://app.example.net@evil.example/callback',
      'https://app.example.net\\@evil.example/callback',
      'http://app.example.net/callback',
      '//app.example.net/callback',
      'javascript:alert(1)',
      ' https://app.example.net/callback',
    ].map((redirect_uri): [string, (client: OAuthClient) => string] => [
      `the address ${redirect_uri}`,
      (client) => client.authorizePath('c', { redirect_uri }),
    ]),
    [
      'no client, but a mistake that the app would be told of',
      (client) => client.authorizePath('c', { client_id: 'unknown', prompt: 'none' }),
    ],
  ];

  it.each(paths)('gets a page and goes nowhere: %s', async (_, pathOf) => {
    const client = await OAuthClient.register(app());
    const { visitor } = await somebody();
    for (const who of [visitor, new Visitor(app())]) {
      const answer = await who.get(pathOf(client));
      expect(answer.status).toBe(400);
      expect(answer.headers['location']).toBeUndefined();
      expect(textOf(answer)).toContain('This app is not known here');
      expect(formsOf(answer.text)).toEqual([]);
    }
  });

  it('gets the same when its form is sent', async () => {
    const client = await OAuthClient.register(app());
    const { session, visitor } = await somebody();
    const question = await visitor.get(client.authorizePath(newPkce().challenge));
    for (const [, pathOf] of paths) {
      const path = pathOf(client);
      const request = path.slice(path.indexOf('?') + 1);
      const answer = await visitor.submit(question, { request, decision: 'allow' });
      expect([request, answer.status, answer.headers['location']]).toEqual([request, 400, undefined]);
    }
    expect(await grantsOf(session.userId)).toEqual([]);
  });

  it('gets a page when two apps are mixed up', async () => {
    const [client, other] = [await OAuthClient.register(app()), await OAuthClient.register(app(), OTHER)];
    const { visitor } = await somebody();
    const [redirect_uri] = OTHER.redirect_uris;
    expect((await visitor.get(client.authorizePath('c', { redirect_uri }))).status).toBe(400);
    expect((await visitor.get(other.authorizePath('c'))).status).toBe(400);
  });

  it('gets a page for what is no text', async () => {
    const client = await OAuthClient.register(app());
    for (const pair of ['state=%FF', 'state=%00', 'x=%', '%ED%A0%80=x'])
      expect((await new Visitor(app()).get(`${client.authorizePath('c')}&${pair}`)).status).toBe(400);
  });
});

describe('An app is told what is wrong with its request', () => {
  const { challenge } = newPkce();
  const set = (parameters: Record<string, string | undefined>) => (client: OAuthClient) =>
    client.authorizePath(challenge, { ...parameters });
  const add = (name: string, value?: string) => (client: OAuthClient) =>
    twice(client.authorizePath(challenge), name, value);
  const device = 'urn:matrix:client:device:DEVICEDEVICE';
  const api = 'urn:matrix:client:api:*';
  const msc = 'urn:matrix:org.matrix.msc2967.client:';

  const mistakes: [string, string, (client: OAuthClient) => string][] = [
    ['invalid_request', 'no response_type', set({ response_type: undefined })],
    ['invalid_request', 'an empty response_type', set({ response_type: '' })],
    ['invalid_request', 'response_type twice', add('response_type', 'code')],
    ['invalid_request', 'scope twice', add('scope', scopeOf('DEVICEDEVICE'))],
    ['invalid_request', 'an unknown parameter twice', (client) => `${add('x')(client)}&x=2`],
    ['invalid_request', 'no code_challenge', set({ code_challenge: undefined })],
    ['invalid_request', 'a short code_challenge', set({ code_challenge: challenge.slice(1) })],
    ['invalid_request', 'a long code_challenge', set({ code_challenge: `${challenge}x` })],
    [
      'invalid_request',
      'a code_challenge of other characters',
      set({ code_challenge: `${challenge.slice(1)}=` }),
    ],
    ['invalid_request', 'no code_challenge_method', set({ code_challenge_method: undefined })],
    ['invalid_request', 'the code_challenge_method plain', set({ code_challenge_method: 'plain' })],
    ['invalid_request', 'the code_challenge_method s256', set({ code_challenge_method: 's256' })],
    ['invalid_request', 'the response_mode form_post', set({ response_mode: 'form_post' })],
    ['unsupported_response_type', 'the response_type token', set({ response_type: 'token' })],
    ['unsupported_response_type', 'the response_type code token', set({ response_type: 'code token' })],
    ['invalid_scope', 'no scope', set({ scope: undefined })],
    ['invalid_scope', 'no device', set({ scope: api })],
    ['invalid_scope', 'no API', set({ scope: device })],
    ['invalid_scope', 'two devices', set({ scope: `${api} ${device} ${device}2` })],
    ['invalid_scope', 'a short device', set({ scope: `${api} urn:matrix:client:device:NINECHARS` })],
    ['invalid_scope', 'a mixed spelling', set({ scope: `${msc}api:* ${device}` })],
    ['invalid_scope', 'an unknown scope', set({ scope: `${api} ${device} urn:example:more` })],
    ['login_required', 'prompt=none', set({ prompt: 'none' })],
    ['login_required', 'prompt=none among others', set({ prompt: 'login none' })],
    ['request_not_supported', 'a request', set({ request: 'x.y.z' })],
    ['request_uri_not_supported', 'a request_uri', set({ request_uri: 'https://app.example.net/r' })],
  ];

  it.each(mistakes)('%s: %s', async (error, _, pathOf) => {
    const client = await OAuthClient.register(app());
    const path = pathOf(client);
    const { session, visitor } = await somebody();
    // Anybody may register an app, so nobody is led there who has not signed in.
    const stranger = await new Visitor(app()).get(path);
    expect(stranger.headers['location']).toMatch(/^\/account\/login\?/);
    const told = await visitor.get(path);
    expect(told.status).toBe(303);
    const [where, query = ''] = told.headers['location']!.split('?');
    expect(where).toBe(REDIRECT_URI);
    expect(Object.fromEntries(new URLSearchParams(query))).toEqual({
      error,
      // RFC 6749, section 4.1.2.1.
      error_description: expect.stringMatching(/^[\x20-\x21\x23-\x5B\x5D-\x7E]+$/),
      state: 'state-1',
    });
    // In the fragment, if that is what it asked for.
    if (!path.includes('form_post')) {
      const answer = await visitor.get(path.replace('response_mode=query', 'response_mode=fragment'));
      const [target, fragment = ''] = answer.headers['location']!.split('#');
      expect(target).toBe(REDIRECT_URI);
      expect(Object.fromEntries(new URLSearchParams(fragment))).toMatchObject({ error, state: 'state-1' });
    }
    // And when somebody changes the form, so that it is sent with the mistake.
    const question = await visitor.get(client.authorizePath(challenge));
    const request = path.slice(path.indexOf('?') + 1);
    const answer = await visitor.submit(question, { request, decision: 'allow' });
    expect(answer.headers['location']).toContain(`${REDIRECT_URI}?error=${error}&`);
    expect(await grantsOf(session.userId)).toEqual([]);
  });

  it('unauthorized_client: an app that has registered for device codes alone', async () => {
    const metadata = { ...CLIENT, grant_types: [DEVICE_CODE], response_types: [] };
    const client = await OAuthClient.register(app(), metadata);
    const { visitor } = await somebody();
    const answer = await visitor.get(client.authorizePath(challenge));
    expect(new URL(answer.headers['location']!).searchParams.get('error')).toBe('unauthorized_client');
  });

  it('without a state, if it sent none or two', async () => {
    const client = await OAuthClient.register(app());
    const { visitor } = await somebody();
    for (const path of [
      client.authorizePath(challenge, { prompt: 'none', state: undefined }),
      client.authorizePath(challenge, { prompt: 'none', state: '' }),
      twice(client.authorizePath(challenge, { prompt: 'none' }), 'state'),
    ]) {
      const { searchParams } = new URL((await visitor.get(path)).headers['location']!);
      expect([searchParams.has('error'), searchParams.has('state')]).toEqual([true, false]);
    }
  });

  it('access_denied: the user refuses, and the audit has it', async () => {
    const client = await OAuthClient.register(app());
    for (const [response_mode, separator] of [
      ['query', '?'],
      ['fragment', '#'],
    ] as const) {
      const { session, visitor } = await somebody();
      const page = await visitor.get(client.authorizePath(challenge, { response_mode }));
      const answer = await visitor.submit(page, { decision: 'refuse' });
      expect(answer.headers['location']).toBe(
        `${REDIRECT_URI}${separator}error=access_denied&error_description=The%20user%20has%20refused&state=state-1`,
      );
      expect(await auditOf(app(), session.userId, 'consent_refused')).toEqual([
        expect.objectContaining({ client_id: client.clientId, device_id: 'DEVICEDEVICE' }),
      ]);
      expect(await grantsOf(session.userId)).toEqual([]);
    }
  });
});

describe('The question whether an app may', () => {
  it('names the app, its website, account, device, where to go on, and its terms', async () => {
    const client = await OAuthClient.register(app(), {
      ...CLIENT,
      tos_uri: 'https://app.example.net/terms',
      policy_uri: 'https://legal.app.example.net/privacy',
      logo_uri: 'https://app.example.net/logo.png',
    });
    const { session, visitor } = await somebody();
    const deviceId = newDeviceId();
    const page = await visitor.get(client.authorizePath(newPkce().challenge, { scope: scopeOf(deviceId) }));
    expect(page.status).toBe(200);
    const text = textOf(page);
    expect(text).toContain('Let Example App in?');
    expect(text).toContain('Name that the app gives itself Example App');
    expect(text).toContain('Website of the app app.example.net');
    expect(text).toContain(`Your account ${session.userId}`);
    expect(text).toContain(`Device ${deviceId}`);
    expect(text).toContain('You go on to https://app.example.net');
    for (const url of ['https://app.example.net/terms', 'https://legal.app.example.net/privacy'])
      expect(page.text).toContain(`<a href="${url}" rel="noopener noreferrer"`);
    // A logo would tell the app who signs in.
    expect(page.text).not.toContain('logo.png');
  });

  it('names an app that has no name by its website', async () => {
    const { client_name: _, ...metadata } = CLIENT;
    const client = await OAuthClient.register(app(), metadata);
    const { visitor } = await somebody();
    const page = await visitor.get(client.authorizePath(newPkce().challenge));
    expect(textOf(page)).toContain('Let app.example.net in?');
  });

  it('comes back after signing in, with everything that the app has sent', async () => {
    const { userId } = await app().matrix.register();
    const client = await OAuthClient.register(app());
    const state = `a b+c%&=#'"<>ü🦊`;
    const path = client.authorizePath(newPkce().challenge, { state, unknown: 'x' });
    const page = await new Visitor(app()).signIn(userId, PASSWORD, path);
    const request = new URLSearchParams(formsOf(page.text)[0]!.hidden['request'] as string);
    expect(request.toString()).toBe(path.slice(path.indexOf('?') + 1));
    expect(request.get('state')).toBe(state);
  });

  it.each([
    ['query', 'https://app.example.net/callback', '?'],
    ['query', 'https://app.example.net/callback?a=1&b=%20x', '&'],
    ['query', 'https://app.example.net/?', ''],
    ['fragment', 'https://app.example.net/callback?a=1', '#'],
  ])(
    'sends the code in the %s of %s, with the state byte for byte',
    async (response_mode, redirect_uri, separator) => {
      const client = await OAuthClient.register(app(), { ...CLIENT, redirect_uris: [redirect_uri] });
      const { session, visitor } = await somebody();
      const state = `a b+c%&=#'"<>ü🦊`;
      const parameters = { redirect_uri, response_mode, state };
      const page = await visitor.get(client.authorizePath(newPkce().challenge, parameters));
      const answer = await visitor.submit(page, { decision: 'allow' });
      expect(answer.status).toBe(303);
      const location = answer.headers['location']!;
      expect(location.startsWith(`${redirect_uri}${separator}code=mxc_`)).toBe(true);
      const answered = new URLSearchParams(location.slice((redirect_uri + separator).length));
      expect([...answered.keys()]).toEqual(['code', 'state']);
      expect(answered.get('state')).toBe(state);
      expect(await auditOf(app(), session.userId, 'consent_given')).toEqual([
        expect.objectContaining({ client_id: client.clientId, device_id: 'DEVICEDEVICE' }),
      ]);
    },
  );

  it('goes on to the port that a native app has chosen, and to no other host', async () => {
    const metadata = { ...CLIENT, application_type: 'native', redirect_uris: ['http://127.0.0.1/callback'] };
    const client = await OAuthClient.register(app(), metadata);
    const { visitor } = await somebody();
    const redirect_uri = 'http://127.0.0.1:49152/callback';
    const page = await visitor.get(client.authorizePath(newPkce().challenge, { redirect_uri }));
    const answer = await visitor.submit(page, { decision: 'allow' });
    expect(answer.headers['location']).toMatch(/^http:\/\/127\.0\.0\.1:49152\/callback\?code=/);
    for (const wrong of [
      'http://localhost:49152/callback',
      'http://127.0.0.1:49152/other',
      'http://127.0.0.1:0/callback',
      'http://127.0.0.1:70000/callback',
      'https://127.0.0.1:49152/callback',
      'http://127.0.0.1:49152@evil.example/callback',
    ])
      expect((await visitor.get(client.authorizePath('c', { redirect_uri: wrong }))).status).toBe(400);
  });

  it('makes no device, and the code is needed for that', async () => {
    const client = await OAuthClient.register(app());
    const { session, visitor } = await somebody();
    await client.authorize(visitor, newPkce().challenge, { scope: scopeOf(newDeviceId()) });
    expect(await app().matrix.devices(session)).toHaveLength(1);
  });

  it('stores neither the code nor anything for somebody who has not decided', async () => {
    const client = await OAuthClient.register(app());
    const { session, visitor } = await somebody();
    await visitor.get(client.authorizePath(newPkce().challenge));
    expect(await grantsOf(session.userId)).toEqual([]);
    const code = (await client.authorize(visitor, newPkce().challenge)).get('code')!;
    const rows = await app().sql(
      `SELECT to_jsonb(g)::text AS text FROM oauth_grants g WHERE user_id = $1
       UNION ALL SELECT to_jsonb(a)::text FROM audit_entries a WHERE user_id = $1`,
      [session.userId],
    );
    expect(rows.length).toBeGreaterThan(1);
    expect(JSON.stringify(rows)).not.toContain(code.split('_')[2]);
  });

  it.each([undefined, '', 'ALLOW', 'yes', 'allow\n'])('is not answered by %j', async (decision) => {
    const client = await OAuthClient.register(app());
    const { session, visitor } = await somebody();
    const page = await visitor.get(client.authorizePath(newPkce().challenge));
    const answer = await visitor.submit(page, decision === undefined ? {} : { decision });
    expect([answer.status, answer.headers['location']]).toEqual([400, undefined]);
    expect(await grantsOf(session.userId)).toEqual([]);
    expect(await auditOf(app(), session.userId, 'consent_given')).toEqual([]);
  });

  it('is not answered by its own address', async () => {
    const client = await OAuthClient.register(app());
    const { session, visitor } = await somebody();
    const page = await visitor.get(client.authorizePath(newPkce().challenge, { decision: 'allow' }));
    expect(page.status).toBe(200);
    expect(await grantsOf(session.userId)).toEqual([]);
  });

  it('can be answered again, with another code', async () => {
    const client = await OAuthClient.register(app());
    const { visitor } = await somebody();
    const page = await visitor.get(client.authorizePath(newPkce().challenge));
    const [one, other] = [
      await visitor.submit(page, { decision: 'allow' }),
      await visitor.submit(page, { decision: 'allow' }),
    ];
    expect(one.headers['location']).not.toBe(other.headers['location']);
  });
});

describe('Somebody who was signed out meanwhile', () => {
  it.each(['by logout/all', 'by leaving the pages in another tab'])(
    'cannot agree any more: %s',
    async (how) => {
      const client = await OAuthClient.register(app());
      const { session, visitor } = await somebody();
      const page = await visitor.get(client.authorizePath(newPkce().challenge));
      if (how === 'by logout/all') await app().matrix.logoutAll(session).expect(200);
      else {
        const tab = thiefOf(app(), visitor);
        await tab.submit(await tab.get('/account'), {}, { action: '/account/logout' });
      }
      const answer = await visitor.submit(page, { decision: 'allow' });
      expect([answer.status, answer.headers['location']]).toEqual([403, undefined]);
      expect(await grantsOf(session.userId)).toEqual([]);
      expect(await isIn(visitor)).toBe(false);
    },
  );

  it('has given codes that are worth nothing', async () => {
    const client = await OAuthClient.register(app());
    const { session, visitor } = await somebody();
    const { verifier, challenge } = newPkce();
    const code = (await client.authorize(visitor, challenge)).get('code')!;
    await app().matrix.logoutAll(session).expect(200);
    await client.exchange(code, verifier).expect(400);
    expect(await app().sql('SELECT FROM devices WHERE user_id = $1', [session.userId])).toEqual([]);
  });

  it('cannot agree in the name of who signed in after them', async () => {
    const client = await OAuthClient.register(app());
    const { session, visitor } = await somebody();
    const page = await visitor.get(client.authorizePath(newPkce().challenge));
    const other = await app().matrix.register();
    await visitor.signIn(other.userId, PASSWORD);
    const answer = await visitor.submit(page, { decision: 'allow' });
    expect(answer.status).toBe(403);
    for (const { userId } of [session, other]) expect(await grantsOf(userId)).toEqual([]);
  });
});

describe('A code', () => {
  it('of one app is of no use to another', async () => {
    const [client, other] = [await OAuthClient.register(app()), await OAuthClient.register(app(), OTHER)];
    const { session, visitor } = await somebody();
    const { verifier, challenge } = newPkce();
    const code = (await client.authorize(visitor, challenge)).get('code')!;
    const [redirect_uri] = OTHER.redirect_uris as [string];
    for (const fields of [{}, { redirect_uri }] as Record<string, string>[]) {
      const { body } = await other.exchange(code, verifier, fields).expect(400);
      expect(body.error).toBe('invalid_grant');
    }
    expect(await app().matrix.devices(session)).toHaveLength(1);
    await client.exchange(code, verifier).expect(200);
  });

  it('that is put into the session of somebody else does not fit their verifier', async () => {
    const client = await OAuthClient.register(app());
    const [victim, attacker] = [await somebody(), await somebody()];
    const [mine, theirs] = [newPkce(), newPkce()];
    const stolen = (await client.authorize(victim.visitor, theirs.challenge)).get('code')!;
    const own = (await client.authorize(attacker.visitor, mine.challenge)).get('code')!;
    await client.exchange(stolen, mine.verifier).expect(400);
    await client.exchange(own, theirs.verifier).expect(400);
    // The part of the code that names the user does not make it another user's.
    const parts = [stolen.split('_'), own.split('_')] as const;
    const forged = [parts[0][0], parts[0][1], ...parts[1].slice(2)].join('_');
    await client.exchange(forged, mine.verifier).expect(400);
    expect(await app().matrix.devices(victim.session)).toHaveLength(1);
    const { body } = await client.exchange(stolen, theirs.verifier).expect(200);
    const { body: who } = await app().matrix.whoami({ ...victim.session, accessToken: body.access_token });
    expect(who['user_id']).toBe(victim.session.userId);
  });
});

describe('A device that the user has already', () => {
  it('is named as such, because its session ends', async () => {
    const client = await OAuthClient.register(app());
    const { session, visitor } = await somebody();
    const { challenge } = newPkce();
    const ask = async (deviceId: string) =>
      textOf(await visitor.get(client.authorizePath(challenge, { scope: scopeOf(deviceId) })));
    const words = 'You are signed in on this device already.';
    const known = await app().matrix.login(session.userId, { device_id: 'KNOWNDEVICE' });
    expect(await ask(known.deviceId)).toContain(words);
    expect(await ask('ANOTHERDEVICE')).not.toContain(words);
  });
});
