import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/matrix/canonical-json.js';
import { isPublicKey, isSignedWith, signaturesBy, signedBytes } from '../../src/matrix/signed-json.js';

describe('Canonical JSON', () => {
  // The examples of the appendices, "Canonical JSON" and "Grammar".
  it.each([
    ['{}', '{}'],
    ['{ "one": 1, "two": "Two" }', '{"one":1,"two":"Two"}'],
    ['{ "b": "2", "a": "1" }', '{"a":"1","b":"2"}'],
    ['{"b":"2","a":"1"}', '{"a":"1","b":"2"}'],
    [
      `{ "auth": { "success": true, "mxid": "@john.doe:example.com", "profile": {
         "display_name": "John Doe", "three_pids": [
           { "medium": "email", "address": "john.doe@example.org" }, { "medium": "msisdn", "address": "123456789" } ] } } }`,
      '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}',
    ],
    ['{ "a": "日本語" }', '{"a":"日本語"}'],
    ['{ "本": 2, "日": 1 }', '{"日":1,"本":2}'],
    ['{ "a": "\\u65E5" }', '{"a":"日"}'],
    ['{ "a": null }', '{"a":null}'],
    ['{ "a": -0, "b": 1e10 }', '{"a":0,"b":10000000000}'],
  ])('of %s', (json, canonical) => {
    expect(canonicalJson(JSON.parse(json))).toBe(canonical);
  });

  it('orders keys by code point, whereas JavaScript compares UTF-16 units', () => {
    expect(canonicalJson({ '\u{1F600}': 1, '\uFF5E': 2 })).toBe('{"\uFF5E":2,"\u{1F600}":1}');
  });

  it('escapes what JSON must escape, in its shortest form, and nothing else', () => {
    expect(canonicalJson({ a: '"\\\b\f\n\r\t\u0001\u007f\u2028/é' })).toBe(
      '{"a":"\\"\\\\\\b\\f\\n\\r\\t\\u0001\u007f\u2028/é"}',
    );
  });

  it('orders three hundred keys, and keeps one that is called __proto__', () => {
    const keys = Array.from({ length: 300 }, (_, at) => `k${String(at).padStart(3, '0')}`);
    const shuffled = Object.fromEntries(keys.toReversed().map((key) => [key, 1]));
    expect(Object.keys(JSON.parse(canonicalJson(shuffled)))).toEqual(keys);
    expect(canonicalJson(JSON.parse('{"b":1,"__proto__":2}'))).toBe('{"__proto__":2,"b":1}');
  });

  it.each([1.5, 2 ** 53, -(2 ** 53), Infinity])('cannot contain the number %d', (number) => {
    expect(() => canonicalJson({ number })).toThrow(TypeError);
  });
});

describe('A signature', () => {
  // The key and the signatures of the appendices, "Cryptographic Test Vectors".
  const KEY = 'XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI';
  const signed = (object: object, signature: string) => ({
    ...object,
    signatures: { domain: { 'ed25519:1': signature } },
  });
  const EMPTY = signed(
    {},
    'K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ',
  );
  const DATA = signed(
    { one: 1, two: 'Two' },
    'KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw',
  );
  const holds = (object: Record<string, unknown>) =>
    isSignedWith(signedBytes(object), KEY, signaturesBy(object, 'domain').get('ed25519:1')!);

  it('from the specification is valid', async () => {
    expect(await holds(EMPTY)).toBe(true);
    expect(await holds(DATA)).toBe(true);
  });

  it('covers everything except signatures and the unsigned part', async () => {
    expect(await holds({ ...DATA, unsigned: { age: 7 } })).toBe(true);
    expect(await holds({ ...DATA, three: 3 })).toBe(false);
    expect(await holds({ ...DATA, one: 1.5 })).toBe(false);
  });

  it.each(['', 'x', 'AAAA', 'A'.repeat(86), '*'.repeat(86)])('"%s" is not valid', async (signature) => {
    expect(await isSignedWith(signedBytes(DATA), KEY, signature)).toBe(false);
  });

  it('by an invalid key is not valid', async () => {
    const signature = signaturesBy(DATA, 'domain').get('ed25519:1')!;
    for (const key of ['', 'AAAA', `${KEY}=`, '\u{1F600}', 'constructor'])
      expect(await isSignedWith(signedBytes(DATA), key, signature)).toBe(false);
  });

  it('is searched only under its user and its algorithm', () => {
    expect(signaturesBy({ signatures: { domain: { 'rsa:1': 'x', 'ed25519:2': 7 } } }, 'domain').size).toBe(0);
    for (const signatures of [undefined, null, [], 'x', { domain: 'x' }, { other: { 'ed25519:1': 'x' } }])
      expect(signaturesBy({ signatures }, 'domain').size).toBe(0);
  });
});

describe('A public key', () => {
  it('is thirty-two bytes in unpadded base64, in its only valid spelling', () => {
    expect(isPublicKey('XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI')).toBe(true);
    for (const other of ['XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNJ', 'XGX0', 'DEVICE', ''])
      expect(isPublicKey(other)).toBe(false);
  });
});
