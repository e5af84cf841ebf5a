import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Parameters } from '../../src/matrix/form-body.js';
import { checkAuthorization } from '../../src/oauth/authorization/authorization.rules.js';
import { callbackOf, formActionOf } from '../../src/oauth/authorization/callback.rules.js';
import { isVerifierOf } from '../../src/oauth/authorization/grants.service.js';
import { clientIdOf, titleOf, toClientMetadata } from '../../src/oauth/clients/client-metadata.rules.js';
import {
  type ApplicationType,
  isAtOrBelow,
  isRedirectUri,
  isRegistered,
  publicHostOf,
} from '../../src/oauth/clients/redirect-uri.rules.js';
import type { OAuthDeviceGrantEntity } from '../../src/oauth/device-grant/device-grant.entity.js';
import { pollOf } from '../../src/oauth/device-grant/poll.rules.js';
import { newUserCode, readUserCode, shownUserCode } from '../../src/oauth/device-grant/user-code.rules.js';
import { readScope } from '../../src/oauth/scope.rules.js';
import { SystemEntropy } from '../../src/system/entropy.js';
import { CLIENT, DEVICE_CODE, newPkce, REDIRECT_URI, scopeOf } from '../support/oauth.js';

const STABLE = 'urn:matrix:client:';
const UNSTABLE = 'urn:matrix:org.matrix.msc2967.client:';
/** Everything that a scope token may hold (RFC 6749, appendix A.4). */
const SCOPE_CHARACTERS = Array.from({ length: 0x5e }, (_, at) => String.fromCharCode(0x21 + at)).filter(
  (one) => one !== '"' && one !== '\\',
);
const deviceIds = fc.string({
  unit: fc.constantFrom(...SCOPE_CHARACTERS),
  minLength: 10,
  maxLength: 255,
});
const prefixes = fc.constantFrom(STABLE, UNSTABLE);

describe('A scope', () => {
  it('names the API and a device, in either spelling and any order, and is told back as asked', () => {
    const property = fc.property(prefixes, deviceIds, fc.boolean(), (prefix, deviceId, isReversed) => {
      const tokens = [`${prefix}api:*`, `${prefix}device:${deviceId}`];
      const text = (isReversed ? tokens.toReversed() : tokens).join(' ');
      expect(readScope(text)).toEqual({ text, deviceId });
    });
    fc.assert(property);
  });

  it('may have openid and a token twice, and then keeps neither', () => {
    const property = fc.property(prefixes, deviceIds, fc.nat(2), (prefix, deviceId, at) => {
      const tokens = [`${prefix}api:*`, `${prefix}device:${deviceId}`];
      const more = [...tokens, ...tokens].toSpliced(at, 0, 'openid');
      expect(readScope(more.join(' '))?.text.split(' ').toSorted()).toEqual(tokens.toSorted());
    });
    fc.assert(property);
  });

  it.each([
    [9, false],
    [10, true],
    [255, true],
    [256, false],
  ])('with a device ID of %d characters: %s', (length, isScope) => {
    expect(readScope(scopeOf('D'.repeat(length))) !== null).toBe(isScope);
  });

  const api = `${STABLE}api:*`;
  const device = `${STABLE}device:AAAABBBBCCCC`;
  it.each([
    ['nothing', ''],
    ['only openid', 'openid'],
    ['only the API', api],
    ['only a device', device],
    ['two devices', `${api} ${device} ${STABLE}device:DDDDEEEEFFFF`],
    ['a device without an ID', `${api} ${STABLE}device:`],
    ['mixed spellings', `${UNSTABLE}api:* ${device}`],
    ['the other mixture', `${api} ${UNSTABLE}device:AAAABBBBCCCC`],
    ['both spellings of everything', `${api} ${device} ${UNSTABLE}api:* ${UNSTABLE}device:AAAABBBBCCCC`],
    ['something unknown', `${api} ${device} email`],
    ['an administrator', `${api} ${device} urn:synapse:admin:*`],
    ['a guest', `${STABLE}api:guest ${device}`],
    ['capitals in the name', `${api.toUpperCase()} ${device}`],
    ['a tab between', `${api}\t${device}`],
    ['a line feed at the end', `${api} ${device}\n`],
    ['a quote in the ID', `${api} ${device}"`],
    ['a backslash in the ID', `${api} ${device}\\`],
    ['a letter beyond ASCII in the ID', `${api} ${device}é`],
    ['DEL in the ID', `${api} ${device}\u007F`],
    ['API with a comma', `${api},${device}`],
  ])('with %s is refused', (_, text) => {
    expect(readScope(text)).toBeNull();
  });

  it('is never read from other text', () => {
    const tokens = fc.constantFrom(api, device, 'openid', '', ' ', `${UNSTABLE}api:*`, 'email', '\t', '"');
    const property = fc.property(fc.array(tokens, { maxLength: 6 }), (all) => {
      const wanted = new Set(all.join(' ').split(' '));
      wanted.delete('');
      wanted.delete('openid');
      const isGood = wanted.size === 2 && wanted.has(api) && wanted.has(device);
      expect(readScope(all.join(' ')) !== null).toBe(isGood);
    });
    fc.assert(property);
  });
});

describe('The host of a client', () => {
  it.each([
    ['https://example.com/', 'example.com'],
    ['https://example.com', 'example.com'],
    ['https://app.example.com:8443/path?query', 'app.example.com'],
    ['https://EXAMPLE.com/', 'example.com'],
    ['https://xn--bcher-kva.example/', 'xn--bcher-kva.example'],
    ['https://1and1.com/', '1and1.com'],
  ])('of %s is %s', (text, host) => {
    expect(publicHostOf(text)).toBe(host);
  });

  it.each([
    'http://example.com/',
    'https://localhost/',
    'https://app.localhost/',
    'https://com/',
    'https://127.0.0.1/',
    'https://0x7f.1/',
    'https://2130706433/',
    'https://[::1]/',
    'https://[2001:db8::1]/',
    'https://*.example.com/',
    'https://exa*ple.com/',
    'https://example.com./',
    'https://example..com/',
    'https://.example.com/',
    'https://-example.com/',
    'https://exam_ple.com/',
    'https://user@example.com/',
    'https://user:password@example.com/',
    'https://:@example.com/',
    'https://@example.com/',
    'https:///example.com/',
    'https:example.com',
    'https:/example.com',
    'https:\\\\example.com/',
    'https://example.com\\@other.org/',
    ' https://example.com/',
    'https://example.com/ ',
    'https://exam\tple.com/',
    'https://exam\nple.com/',
    'https://example.com/\r\nSet-Cookie:x',
    'https://example.com/\0',
    'https://bücher.example/',
    'https://example。com/',
    'https://exam\u00ADple.com/',
    'https://example.com/ä',
    'https://',
    'https://?',
    'example.com',
    '//example.com/',
    'javascript:alert(1)//https://example.com/',
    'data:text/html,https://example.com/',
    '',
  ])('of %j is none', (text) => {
    expect(publicHostOf(text)).toBeNull();
  });

  it('is the whole of it, not its end', () => {
    expect(isAtOrBelow('example.com', 'example.com')).toBe(true);
    expect(isAtOrBelow('a.b.example.com', 'example.com')).toBe(true);
    expect(isAtOrBelow('evilexample.com', 'example.com')).toBe(false);
    expect(isAtOrBelow('example.com', 'app.example.com')).toBe(false);
    expect(isAtOrBelow('example.com.evil.org', 'example.com')).toBe(false);
  });

  it('is what a browser would visit, for whatever text', () => {
    const pieces = fc.constantFrom(...'https://example.com:@\\#?%*\t\n 0x7f[]_-é'.split(''), '//', '.com');
    const property = fc.property(fc.array(pieces, { maxLength: 12 }), (rest) => {
      const text = `https://${rest.join('')}`;
      const host = publicHostOf(text);
      if (host === null) return;
      expect(host).toMatch(/^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/);
      expect(new URL(text).host.replace(/:\d+$/, '')).toBe(host);
    });
    fc.assert(property, { numRuns: 2_000 });
  });
});

describe('A redirect URI at registration', () => {
  const good: [ApplicationType, string][] = [
    ['web', 'https://example.com/callback'],
    ['web', 'https://example.com'],
    ['web', 'https://app.example.com:8443/a/b?c=d&e'],
    ['web', 'https://a.b.c.example.com/'],
    ['native', 'https://example.com/callback'],
    ['native', 'http://localhost/callback'],
    ['native', 'http://127.0.0.1/callback?x=y'],
    ['native', 'http://[::1]/callback'],
    ['native', 'http://127.0.0.1'],
    ['native', 'http://127.0.0.1/'],
    ['native', 'com.example:/callback'],
    ['native', 'com.example:callback'],
    ['native', 'com.example.app:/callback'],
    ['native', 'com.example.app.desktop:/?x=y'],
  ];
  it.each(good)('may be, for %s, %s', (type, uri) => {
    expect(isRedirectUri(uri, type, 'example.com')).toBe(true);
  });

  const bad: [ApplicationType, string][] = [
    ['web', 'http://example.com/callback'],
    ['web', 'http://localhost/callback'],
    ['web', 'com.example:/callback'],
    ['web', 'https://evilexample.com/callback'],
    ['web', 'https://example.com.evil.org/callback'],
    ['web', 'https://evil.org/example.com'],
    ['web', 'https://evil.org/?https://example.com/'],
    ['web', 'https://com/'],
    ['web', 'https://example.com/callback#'],
    ['web', 'https://example.com/callback#fragment'],
    ['web', 'https://*.example.com/callback'],
    ['web', 'https://user@example.com/callback'],
    ['web', 'https://evil.org@example.com/callback'],
    ['web', 'https://example.com@evil.org/callback'],
    ['web', 'https://evil.org\\.example.com/callback'],
    ['web', 'https://evil.org%2F.example.com/callback'],
    ['web', 'https://example.com/callback\\'],
    ['web', 'https://example.com/call back'],
    ['web', 'https://example.com/callback\n'],
    ['web', '\thttps://example.com/callback'],
    ['web', 'https://exa\tmple.com/callback'],
    ['web', 'https://example.com/\0'],
    ['web', 'https://example.com/ä'],
    ['web', 'https://localhost/callback'],
    ['web', '/callback'],
    ['web', 'callback'],
    ['web', ''],
    ['native', 'http://example.com/callback'],
    ['native', 'https://evilexample.com/callback'],
    ['native', 'https://localhost/callback'],
    ['native', 'https://127.0.0.1/callback'],
    ['native', 'http://localhost:8080/callback'],
    ['native', 'http://127.0.0.1:80/callback'],
    ['native', 'http://[::1]:80/callback'],
    ['native', 'http://127.0.0.1:/callback'],
    ['native', 'http://127.0.0.2/callback'],
    ['native', 'http://127.1/callback'],
    ['native', 'http://0.0.0.0/callback'],
    ['native', 'http://localhost.evil.org/callback'],
    ['native', 'http://localhost@evil.org/callback'],
    ['native', 'http://user@localhost/callback'],
    ['native', 'http://evil.org#@localhost/callback'],
    ['native', 'http://localhost/callback#'],
    ['native', 'com.example://callback'],
    ['native', 'com.example:///callback'],
    ['native', 'com.example:/callback#fragment'],
    ['native', 'com.evil:/callback'],
    ['native', 'com.exampleevil:/callback'],
    ['native', 'com:/callback'],
    ['native', 'example.com:/callback'],
    ['native', 'org.evil.com.example:/callback'],
    ['native', 'com.example.:callback#'],
    ['native', 'com.example:/call\\back'],
    ['native', 'com.example:/call\tback'],
    ['native', 'com.example'],
    ['native', 'javascript:alert(1)'],
    ['native', 'data:text/html,x'],
    ['native', 'file:///etc/passwd'],
    ['native', 'intent:callback'],
    ['native', 'about:blank'],
    ['native', 'element:/callback'],
  ];
  it.each(bad)('may not be, for %s, %j', (type, uri) => {
    expect(isRedirectUri(uri, type, 'example.com')).toBe(false);
  });

  it('never leads away from the host of the client, the machine or its scheme', () => {
    const pieces = fc.constantFrom(
      'https://',
      'http://',
      'example.com',
      '.example.com',
      'evil',
      'evil.org',
      'localhost',
      '127.0.0.1',
      'com.example',
      ':',
      '@',
      '/',
      '//',
      '\\',
      '#',
      '?',
      '%2F',
      '%40',
      '*',
      '\t',
      '.',
      '-',
      ':8080',
      '[::1]',
    );
    const types = fc.constantFrom<ApplicationType>('web', 'native');
    const property = fc.property(fc.array(pieces, { maxLength: 7 }), types, (all, type) => {
      const uri = all.join('');
      if (!isRedirectUri(uri, type, 'example.com')) return;
      const { protocol, hostname, username, hash } = new URL(uri);
      expect({ username, hash }).toEqual({ username: '', hash: '' });
      if (protocol === 'https:') expect(`.${hostname}`).toMatch(/\.example\.com$/);
      else if (protocol === 'http:') expect(['localhost', '127.0.0.1', '[::1]']).toContain(hostname);
      else expect(protocol).toMatch(/^com\.example[:.]/);
      if (type === 'web') expect(protocol).toBe('https:');
    });
    fc.assert(property, { numRuns: 5_000 });
  });
});

describe('The redirect URI of a request', () => {
  it('must be exactly one that is registered', () => {
    const registered = ['https://example.com/callback', 'https://example.com/b?c=d'];
    for (const uri of registered) expect(isRegistered(uri, registered, 'web')).toBe(true);
    for (const uri of [
      'https://example.com/callback/',
      'https://example.com/callback?x',
      'https://example.com/Callback',
      'https://EXAMPLE.com/callback',
      'https://example.com:443/callback',
      'https://example.com/b',
      'https://example.com/x/../callback',
      'https://example.com/callback#',
      '',
    ])
      expect({ uri, is: isRegistered(uri, registered, 'web') }).toEqual({ uri, is: false });
  });

  it('may have any port on the loopback interface, and the same host and path', () => {
    const registered = ['http://127.0.0.1/callback', 'http://[::1]/x?y=z', 'http://localhost'];
    const property = fc.property(fc.integer({ min: 1, max: 65_535 }), (port) => {
      expect(isRegistered(`http://127.0.0.1:${port}/callback`, registered, 'native')).toBe(true);
      expect(isRegistered(`http://[::1]:${port}/x?y=z`, registered, 'native')).toBe(true);
      expect(isRegistered(`http://localhost:${port}`, registered, 'native')).toBe(true);
      expect(isRegistered(`http://localhost:${port}/`, registered, 'native')).toBe(true);
      for (const other of [
        `http://localhost:${port}/callback`,
        `http://127.0.0.1:${port}/callback/`,
        `http://127.0.0.1:${port}/callback?x`,
        `http://127.0.0.1:${port}/callback#`,
        `http://127.0.0.1:${port}@evil.org/callback`,
        `http://127.0.0.2:${port}/callback`,
        `http://[::1]:${port}/x`,
        `https://127.0.0.1:${port}/callback`,
      ])
        expect({ other, is: isRegistered(other, registered, 'native') }).toEqual({ other, is: false });
    });
    fc.assert(property);
    for (const uri of [
      'http://127.0.0.1:0/callback',
      'http://127.0.0.1:65536/callback',
      'http://127.0.0.1:99999/callback',
      'http://127.0.0.1:-1/callback',
      'http://127.0.0.1:8080.evil.org/callback',
      'http://127.0.0.1:/callback',
      'http://127.0.0.1:8a/callback',
    ])
      expect({ uri, is: isRegistered(uri, registered, 'native') }).toEqual({ uri, is: false });
  });

  it('has no free port for websites and elsewhere', () => {
    expect(isRegistered('http://127.0.0.1:8080/x', ['http://127.0.0.1/x'], 'web')).toBe(false);
    expect(isRegistered('https://example.com:8443/x', ['https://example.com/x'], 'native')).toBe(false);
  });
});

describe('The metadata of a client', () => {
  const words = fc.string({ unit: fc.constantFrom(...'abcdefg0123456789'), minLength: 1, maxLength: 8 });
  const uris = fc.uniqueArray(
    words.map((word) => `https://app.example.net/${word}`),
    { minLength: 1, maxLength: 6 },
  );

  it('gives one ID for all orders of redirect URIs, and whatever unknown fields say', () => {
    const unknown = fc.dictionary(
      words.map((word) => `x_${word}`),
      fc.jsonValue(),
    );
    const property = fc.property(
      uris.chain((all) =>
        fc.tuple(
          fc.constant(all),
          fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length }),
        ),
      ),
      unknown,
      ([one, other], more) => {
        const first = toClientMetadata({ ...CLIENT, redirect_uris: one });
        const fields = { ...more, ...CLIENT, redirect_uris: [...other, ...other] };
        const second = toClientMetadata(Object.fromEntries(Object.entries(fields).toReversed()));
        expect(clientIdOf(second)).toBe(clientIdOf(first));
      },
    );
    fc.assert(property);
  });

  it('gives another ID for whatever is kept and differs', () => {
    const others = [
      {},
      { client_name: 'Another App' },
      { client_name: undefined },
      { client_uri: 'https://app.example.net' },
      { logo_uri: 'https://app.example.net/logo.png' },
      { tos_uri: 'https://app.example.net/logo.png' },
      { policy_uri: 'https://app.example.net/logo.png' },
      { redirect_uris: [`${REDIRECT_URI}2`] },
      { redirect_uris: [REDIRECT_URI, `${REDIRECT_URI}2`] },
      { grant_types: ['authorization_code'] },
      { application_type: 'native' },
    ];
    const ids = others.map((other) => clientIdOf(toClientMetadata({ ...CLIENT, ...other })));
    expect(new Set(ids).size).toBe(others.length);
    for (const id of ids) expect(id).toMatch(/^[\w-]{32,}$/);
  });

  it('gives the same ID for what means the same', () => {
    const others = [
      { grant_types: [...CLIENT.grant_types.toReversed(), 'implicit'] },
      { grant_types: ['authorization_code', DEVICE_CODE] },
      { response_types: ['id_token', 'code', 'code'] },
      { token_endpoint_auth_method: undefined, application_type: undefined },
      { 'client_name#de': 'Beispiel', contacts: ['a@example.org'], id_token_signed_response_alg: 'RS256' },
    ];
    const id = clientIdOf(toClientMetadata(CLIENT));
    for (const other of others) expect(clientIdOf(toClientMetadata({ ...CLIENT, ...other }))).toBe(id);
  });

  it('has a title in any case', () => {
    expect(titleOf(toClientMetadata(CLIENT))).toBe('Example App');
    expect(titleOf(toClientMetadata({ ...CLIENT, client_name: undefined }))).toBe('app.example.net');
  });

  it('is kept or refused, and nothing else, for whatever fields', () => {
    const property = fc.property(
      fc.constantFrom(...Object.keys(CLIENT), 'logo_uri', 'tos_uri', 'policy_uri', '__proto__'),
      fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' }), fc.array(fc.string({ unit: 'binary' }))),
      (field, value) => {
        try {
          expect(clientIdOf(toClientMetadata({ ...CLIENT, [field]: value }))).toHaveLength(32);
        } catch (error) {
          expect(error).toMatchObject({ status: 400, code: expect.stringMatching(/^invalid_/) });
        }
      },
    );
    fc.assert(property, { numRuns: 500 });
  });
});

describe('The answer to an app', () => {
  it.each([
    ['https://a.example/cb', 'query', 'https://a.example/cb?code=c&state=s'],
    ['https://a.example/cb?', 'query', 'https://a.example/cb?code=c&state=s'],
    ['https://a.example/cb?x=y', 'query', 'https://a.example/cb?x=y&code=c&state=s'],
    ['https://a.example/cb?x=y&', 'query', 'https://a.example/cb?x=y&code=c&state=s'],
    ['https://a.example/cb', 'fragment', 'https://a.example/cb#code=c&state=s'],
    ['https://a.example/cb?x=y', 'fragment', 'https://a.example/cb?x=y#code=c&state=s'],
    ['com.example:/cb', 'query', 'com.example:/cb?code=c&state=s'],
    ['com.example:cb', 'fragment', 'com.example:cb#code=c&state=s'],
    ['https://a.example', 'query', 'https://a.example?code=c&state=s'],
    ['http://127.0.0.1:80/%7e?a=b%20c+d', 'query', 'http://127.0.0.1:80/%7e?a=b%20c+d&code=c&state=s'],
  ] as const)('at %s in the %s is %s', (redirectUri, mode, url) => {
    expect(callbackOf({ redirectUri, mode, state: 's' }, { code: 'c' })).toBe(url);
  });

  it('has no state if the app gave none', () => {
    const target = { redirectUri: 'https://a.example/', mode: 'query', state: null } as const;
    expect(callbackOf(target, { code: 'c' })).toBe('https://a.example/?code=c');
  });

  it('gives any state back byte for byte, and leaves the registered URI as it is', () => {
    const modes = fc.constantFrom('query' as const, 'fragment' as const);
    const property = fc.property(
      fc.string({ unit: 'grapheme', minLength: 1 }),
      modes,
      fc.constantFrom('', '?x=%7e&y=a+b', '?'),
      (state, mode, query) => {
        const redirectUri = `https://a.example/cb${query}`;
        const url = callbackOf({ redirectUri, mode, state }, { code: 'mxc_a&b=c' });
        expect(url.startsWith(redirectUri)).toBe(true);
        const { hash, searchParams } = new URL(url);
        const answer = mode === 'fragment' ? new URLSearchParams(hash.slice(1)) : searchParams;
        expect([answer.getAll('code'), answer.getAll('state')]).toEqual([['mxc_a&b=c'], [state]]);
        // A blank may not become a plus sign: in a fragment, apps need not read it as a form.
        expect(url.slice(redirectUri.length)).not.toContain('+');
        if (mode === 'fragment') expect(new URL(url).search).toBe(new URL(redirectUri).search);
      },
    );
    fc.assert(property);
  });

  it.each([
    ['https://a.example/cb', 'https://a.example'],
    ['https://a.example:8443/cb', 'https://a.example:8443'],
    ['http://127.0.0.1:5000/cb', 'http://127.0.0.1:5000'],
    ['com.example:/cb', 'com.example:'],
  ])('at %s needs %s in form-action', (uri, action) => {
    expect(formActionOf(uri)).toBe(action);
  });
});

describe('A code verifier', () => {
  it('is that of its challenge (RFC 7636, appendix B)', () => {
    const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
    const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
    expect(isVerifierOf(verifier, challenge)).toBe(true);
    expect(isVerifierOf(`${verifier}x`, challenge)).toBe(false);
    expect(isVerifierOf(challenge, challenge)).toBe(false);
    expect(isVerifierOf(verifier, null)).toBe(false);
  });
});

describe('The parameters of a form', () => {
  it('are read in one pass, however often one is repeated', () => {
    // Reading them again for each repetition would take minutes.
    const { repeated } = Parameters.parse('a=1&'.repeat(120_000));
    expect(repeated).toEqual(new Set(['a']));
  });
});

describe('A user code', () => {
  it('has eight letters that look alike to nothing, and is shown with a dash', () => {
    const entropy = new SystemEntropy();
    for (let round = 0; round < 200; round += 1) {
      const code = newUserCode(entropy);
      expect(code).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{8}$/);
      expect(shownUserCode(code)).toBe(`${code.slice(0, 4)}-${code.slice(4)}`);
    }
  });

  it('is read however people type it', () => {
    const letters = fc.string({
      unit: fc.constantFrom(...'BCDFGHJKLMNPQRSTVWXZ'),
      minLength: 8,
      maxLength: 8,
    });
    const between = fc.array(fc.constantFrom('', '-', ' ', '–', '  '), { minLength: 9, maxLength: 9 });
    const property = fc.property(letters, between, fc.boolean(), (code, gaps, isLower) => {
      const typed = gaps.map((gap, at) => gap + code.charAt(at)).join('');
      expect(readUserCode(isLower ? typed.toLowerCase() : typed)).toBe(code);
    });
    fc.assert(property);
  });

  it.each([
    '',
    'BCDF',
    'BCDFGHJKL',
    'BCDFGHJA',
    'BCDFGHJ1',
    'BCDF/GHJK',
    'BCDFGHJ%',
    "BCDFGHJ'",
    'BCDFGHJ\0',
  ])('is not %j', (typed) => {
    expect(readUserCode(typed)).toBeNull();
  });
});

describe('A question for the tokens of a device code', () => {
  const start = Date.UTC(2026, 0, 1);
  const grant = (values: Partial<OAuthDeviceGrantEntity> = {}): OAuthDeviceGrantEntity => ({
    deviceCodeDigest: Buffer.alloc(32),
    userCode: 'BCDFGHJK',
    clientId: 'client',
    scope: scopeOf('DEVICEDEVICE'),
    deviceId: 'DEVICEDEVICE',
    state: 'pending',
    userId: null,
    address: '127.0.0.1',
    userAgent: null,
    issuedAt: new Date(start),
    expiresAt: new Date(start + 1_200_000),
    intervalMs: 5_000,
    polledAt: null,
    ...values,
  });
  const at = (ms: number) => new Date(start + ms);
  const polledAt = new Date(start);

  it.each([
    ['the first, at once', grant(), 0, 'authorization_pending'],
    ['too early', grant({ polledAt }), 3_999, 'slow_down'],
    ['a second too early', grant({ polledAt }), 4_000, 'authorization_pending'],
    ['in time', grant({ polledAt }), 5_000, 'authorization_pending'],
    ['in time for the old interval', grant({ polledAt, intervalMs: 10_000 }), 5_000, 'slow_down'],
    ['in time for the new interval', grant({ polledAt, intervalMs: 10_000 }), 9_000, 'authorization_pending'],
    ['too early, but approved', grant({ polledAt, state: 'approved', userId: '@a:b' }), 1, 'approved'],
    ['too early, but refused', grant({ polledAt, state: 'refused', userId: '@a:b' }), 1, 'access_denied'],
    ['just before the end', grant(), 1_199_999, 'authorization_pending'],
    ['at the end', grant(), 1_200_000, 'expired_token'],
    ['too early after the end', grant({ polledAt: at(1_200_000) }), 1_200_001, 'expired_token'],
    ['after the end of an approved one', grant({ state: 'approved' }), 1_200_000, 'expired_token'],
  ] as const)('%s', (_, asked, ms, answer) => {
    expect(pollOf(asked, at(ms))).toBe(answer);
  });
});

describe('A request for an authorization code', () => {
  const { challenge } = newPkce();
  const client = { clientId: 'client', metadata: toClientMetadata(CLIENT) };
  const deviceOnly = {
    clientId: 'device',
    metadata: toClientMetadata({ ...CLIENT, grant_types: [DEVICE_CODE] }),
  };
  const usual = {
    client_id: 'client',
    redirect_uri: REDIRECT_URI,
    response_type: 'code',
    scope: scopeOf('DEVICEDEVICE'),
    state: 'a state',
    code_challenge: challenge,
    code_challenge_method: 'S256',
  };
  type Changes = Record<string, string | string[] | undefined>;
  const parse = (changes: Changes): Parameters => {
    const pairs = Object.entries({ ...usual, ...changes }).flatMap(([name, value]) =>
      [value ?? []].flat().map((one): [string, string] => [name, one]),
    );
    return Parameters.parse(new URLSearchParams(pairs).toString());
  };
  const check = (changes: Changes, by: typeof client | null = client) =>
    checkAuthorization(parse(changes), by);

  it('is valid with all it needs', () => {
    expect(check({})).toEqual({
      kind: 'valid',
      request: {
        client,
        target: { redirectUri: REDIRECT_URI, mode: 'query', state: 'a state' },
        scope: { text: usual.scope, deviceId: 'DEVICEDEVICE' },
        codeChallenge: challenge,
        wantsAccount: false,
      },
    });
  });

  it.each<[string, Changes, object]>([
    ['unknown parameters', { nonce: 'x', ui_locales: 'de', display: 'page' }, {}],
    ['an unknown prompt', { prompt: 'consent login' }, { wantsAccount: false }],
    ['a wish for an account', { prompt: 'create' }, { wantsAccount: true }],
    ['no state', { state: undefined }, { target: { state: null } }],
    ['an empty state', { state: '' }, { target: { state: null } }],
    ['the mode fragment', { response_mode: 'fragment' }, { target: { mode: 'fragment' } }],
    ['the mode query', { response_mode: 'query' }, { target: { mode: 'query' } }],
    ['an empty mode', { response_mode: '' }, { target: { mode: 'query' } }],
    ['an empty request', { request: '', request_uri: '', prompt: '' }, {}],
  ])('is valid with %s', (_, changes, request) => {
    expect(check(changes)).toMatchObject({ kind: 'valid', request });
  });

  it.each<[string, Changes, typeof client | null]>([
    ['no client', {}, null],
    ['client_id twice', { client_id: ['client', 'client'] }, client],
    ['no redirect_uri', { redirect_uri: undefined }, client],
    ['an empty redirect_uri', { redirect_uri: '' }, client],
    ['redirect_uri twice', { redirect_uri: [REDIRECT_URI, REDIRECT_URI] }, client],
    ['redirect_uri twice, one of them wrong', { redirect_uri: [REDIRECT_URI, 'https://evil.org/'] }, client],
    ['another redirect_uri', { redirect_uri: `${REDIRECT_URI}/` }, client],
    ['a redirect_uri with a fragment', { redirect_uri: `${REDIRECT_URI}#` }, client],
  ])('tells nobody of an error with %s', (_, changes, by) => {
    expect(check({ ...changes, scope: 'wrong' }, by)).toEqual({ kind: 'untrusted' });
  });

  it.each<[string, string, Changes]>([
    ['scope twice', 'invalid_request', { scope: [usual.scope, usual.scope] }],
    ['response_type twice', 'invalid_request', { response_type: ['code', 'code'] }],
    ['an unknown parameter twice', 'invalid_request', { nonce: ['a', 'b'] }],
    ['no response_type', 'invalid_request', { response_type: undefined }],
    ['an empty response_type', 'invalid_request', { response_type: '' }],
    ['no code_challenge', 'invalid_request', { code_challenge: undefined }],
    ['a short code_challenge', 'invalid_request', { code_challenge: challenge.slice(1) }],
    ['a long code_challenge', 'invalid_request', { code_challenge: `${challenge}x` }],
    ['a code_challenge with padding', 'invalid_request', { code_challenge: `${challenge.slice(1)}=` }],
    ['no code_challenge_method', 'invalid_request', { code_challenge_method: undefined }],
    ['the method plain', 'invalid_request', { code_challenge_method: 'plain' }],
    ['the method s256', 'invalid_request', { code_challenge_method: 's256' }],
    ['no PKCE at all', 'invalid_request', { code_challenge: undefined, code_challenge_method: undefined }],
    ['the mode form_post', 'invalid_request', { response_mode: 'form_post' }],
    ['an unknown mode', 'invalid_request', { response_mode: 'Query' }],
    ['response_type token', 'unsupported_response_type', { response_type: 'token' }],
    ['response_type code id_token', 'unsupported_response_type', { response_type: 'code id_token' }],
    ['no scope', 'invalid_scope', { scope: undefined }],
    ['another scope', 'invalid_scope', { scope: `${usual.scope} email` }],
    ['prompt=none', 'login_required', { prompt: 'none' }],
    ['a request object', 'request_not_supported', { request: 'eyJ' }],
    ['the address of a request', 'request_uri_not_supported', { request_uri: 'https://evil.org/' }],
  ])('tells the app of %s: %s', (_, error, changes) => {
    const target = { redirectUri: REDIRECT_URI, mode: 'query', state: 'a state' };
    expect(check(changes)).toMatchObject({ kind: 'refused', error, target });
  });

  it('tells the app in its own mode', () => {
    expect(check({ response_mode: 'fragment', scope: 'wrong' })).toMatchObject({
      kind: 'refused',
      error: 'invalid_scope',
      target: { mode: 'fragment', state: 'a state' },
    });
  });

  it('does not choose between two states', () => {
    expect(check({ state: ['a', 'b'] })).toMatchObject({
      kind: 'refused',
      error: 'invalid_request',
      target: { state: null },
    });
  });

  it('is refused to a client that has not registered for it', () => {
    expect(check({}, deviceOnly)).toMatchObject({ kind: 'refused', error: 'unauthorized_client' });
  });

  it('has descriptions that need no quoting', () => {
    for (const changes of [{ scope: 'x' }, { response_type: 'x' }, { prompt: 'none' }, { nonce: ['a', 'b'] }])
      expect(check(changes)).toMatchObject({
        description: expect.stringMatching(/^[\x20-\x21\x23-\x5B\x5D-\x7E]+$/),
      });
  });
});
