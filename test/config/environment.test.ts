import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Environment, EnvironmentError, environmentSchema } from '../../src/config/environment.js';
import { limitVariables } from '../../src/config/limits.js';
import { rateLimitVariables } from '../../src/config/rate-limits.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { configurationDoc, rowOf } from '../support/configuration-doc.js';

describe('The environment', () => {
  it('needs no variables', () => {
    expect(Environment.load({})).toMatchObject({
      host: '127.0.0.1',
      port: 8008,
      serverName: 'localhost',
      publicBaseUrl: 'http://localhost:8008',
      databaseUrl: null,
      dataDir: './data',
      registration: 'open',
      accessTokenTtlMs: 900_000,
      passwordHashing: { memoryKib: 19_456, passes: 2, queue: 64 },
      logLevel: 'info',
      production: false,
    });
  });

  it('closes registration unless the embedded database is used', () => {
    const DATABASE_URL = 'postgresql://localhost/sessions';
    expect(Environment.load({ DATABASE_URL }).registration).toBe('closed');
    expect(Environment.load({ DATABASE_URL, REGISTRATION: 'open' }).registration).toBe('open');
    expect(Environment.load({ REGISTRATION: 'closed' }).registration).toBe('closed');
  });

  it.each([
    ['1', 1],
    ['loopback', 'loopback'],
    ['10.0.0.0/8,fd00::/8,127.0.0.1', '10.0.0.0/8,fd00::/8,127.0.0.1'],
  ])('trusts the proxies %s', (TRUST_PROXY, trustProxy) => {
    expect(Environment.load({ TRUST_PROXY })).toMatchObject({ trustProxy });
  });

  it('treats an empty value as unset', () => {
    expect(Environment.load({ PORT: '', DATABASE_URL: '' })).toMatchObject({ port: 8008, databaseUrl: null });
  });

  it.each([
    ['5ms', 5],
    ['3s', 3_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
  ])('reads the duration %s', (ACCESS_TOKEN_TTL, accessTokenTtlMs) => {
    expect(Environment.load({ ACCESS_TOKEN_TTL })).toMatchObject({ accessTokenTtlMs });
  });

  it.each([
    ['PORT', '80x', 'PORT must be a whole number from 0 to 65535, not "80x"'],
    ['PORT', '65536', 'PORT must be a whole number from 0 to 65535, not "65536"'],
    ['PORT', '1.5', 'PORT must be a whole number from 0 to 65535, not "1.5"'],
    ['SERVER_NAME', 'http://x', 'SERVER_NAME must be a Matrix server name'],
    ['PUBLIC_BASE_URL', 'example.org', 'PUBLIC_BASE_URL must be a URL that starts with http:// or https://'],
    ['DATABASE_POOL_SIZE', '1', 'DATABASE_POOL_SIZE must be a whole number from 2 to 200'],
    ['MIGRATE', 'maybe', 'MIGRATE must be "on" or "off", not "maybe"'],
    ['REGISTRATION', 'maybe', 'REGISTRATION must be "open", "token" or "closed", not "maybe"'],
    ['ACCESS_TOKEN_TTL', 'soon', 'ACCESS_TOKEN_TTL must be a duration such as 90s, 5m or 1h'],
    ['DATABASE_SETTINGS', 'plan_cache_mode = auto', 'without spaces'],
    ['DATABASE_SETTINGS', 'jit=on,synchronous_commit=off', 'settings other than'],
    ['DATABASE_SHARED_LOCK_TIMEOUT', '20', '20ms or 1s, at most 10 seconds'],
    ['ACCESS_TOKEN_TTL', '999999999d', 'at most ten years'],
    ['LAST_SEEN_INTERVAL', '25d', 'at most 24 days'],
    ['EVENT_POLL_INTERVAL', '25d', 'at most 24 days'],
    ['EVENT_LISTENER_TIMEOUT', '25d', 'at most 24 days'],
    ['EVENT_DELIVERY_TIMEOUT', '25d', 'at most 24 days'],
    ['RECONCILE_INTERVAL', '25d', 'at most 24 days'],
    ['EVENT_RETENTION', '30s', 'from ten minutes to ten years'],
    [
      'OTEL_EXPORTER_OTLP_ENDPOINT',
      'localhost:4318',
      'OTEL_EXPORTER_OTLP_ENDPOINT must be a URL that starts with http:// or https://',
    ],
    ['OTEL_TRACES_SAMPLER_ARG', '2', 'OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not "2"'],
    ['OTEL_TRACES_SAMPLER_ARG', 'x', 'OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not "x"'],
    ['NATS_JETSTREAM', 'yes', 'NATS_JETSTREAM must be "on" or "off", not "yes"'],
    [
      'RATE_LIMIT_REFRESH',
      'often',
      'RATE_LIMIT_REFRESH must be a number from 1 and a duration in s, m, h or d, such as 10/1m, not "often"',
    ],
    ['TRUST_PROXY', 'everybody', 'TRUST_PROXY must be a number of hops, or addresses and subnets'],
    ['TRUST_PROXY', '999.1.1.1', 'TRUST_PROXY must be a number of hops, or addresses and subnets'],
    ['SERVER_ADMINS', '@a:elsewhere', 'SERVER_ADMINS must be users of localhost, unlike @a:elsewhere'],
    ['SERVER_ADMINS', 'alice', 'SERVER_ADMINS must be user IDs, separated by commas, not "alice"'],
    ['LOG_LEVEL', 'loud', 'LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, not "loud"'],
  ])('refuses %s=%s with its name and the allowed values', (name, value, message) => {
    expect(() => Environment.load({ [name]: value })).toThrow(EnvironmentError);
    expect(() => Environment.load({ [name]: value })).toThrow(message);
  });

  it('reports all errors at once', () => {
    expect(() => Environment.load({ PORT: 'x', LOG_LEVEL: 'y' })).toThrow(/PORT.*\n.*LOG_LEVEL/);
  });

  it.each([
    ['DATABASE_URL', 'mysql://sessions:s3cret@db/sessions', 'must be a URL that starts with postgres://'],
    ['NATS_URL', 'wss://sessions:s3cret@nats', 'must be a URL that starts with nats://'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 's3cret', 'must be headers such as authorization='],
    ['ADMIN_TOKEN', 's3cret', 'must be a token of 24 to 512'],
    ['REGISTRATION_TOKENS', 's3cret, and more', 'must be tokens of 1 to 64'],
  ])('never repeats %s, which may hold a secret', (name, value, message) => {
    try {
      Environment.load({ [name]: value });
      expect.unreachable();
    } catch (error) {
      expect(String(error)).toContain(`${name} ${message}`);
      expect(String(error)).not.toContain('s3cret');
    }
  });

  it('requires the embedded database to be named explicitly in production', () => {
    expect(() => Environment.load({ NODE_ENV: 'production' })).toThrow('DATABASE_URL must be set');
    expect(Environment.load({ NODE_ENV: 'production', DATABASE_URL: 'embedded' }).databaseUrl).toBeNull();
  });

  it('disables in production what is enabled for trials, unless configured otherwise', () => {
    const { registration, apiDocs } = Environment.load({});
    expect([registration, apiDocs]).toEqual(['open', true]);
    const production = { NODE_ENV: 'production', DATABASE_URL: 'embedded' };
    const closed = Environment.load(production);
    expect([closed.registration, closed.apiDocs]).toEqual(['closed', false]);
    const asked = Environment.load({ ...production, REGISTRATION: 'open', API_DOCS: 'on' });
    expect([asked.registration, asked.apiDocs]).toEqual(['open', true]);
    expect(Environment.load({ API_DOCS: 'off' }).apiDocs).toBe(false);
  });

  it('is documented: every variable with its default and description', async () => {
    await expect(configurationDoc()).toMatchFileSnapshot('../../docs/configuration.md');
  });

  it('has its most important variables in the README', async () => {
    const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
    const told = [...readme.matchAll(/^\| `([A-Z_]+)` \|.*\|$/gm)];
    expect(told).toHaveLength(10);
    for (const [row, name] of told) expect(row).toBe(rowOf(name!));
  });

  it('names variables that look like one of its own', () => {
    const misspelt = (...names: string[]) =>
      Environment.misspeltIn(Object.fromEntries(names.map((name) => [name, 'x']))).map(({ meant }) => meant);
    expect(misspelt('DATABASE_URI', 'PUBLIC_BASEURL', 'SERVER_ADMIN', 'REGISTATION', 'Database_Url')).toEqual(
      ['DATABASE_URL', 'PUBLIC_BASE_URL', 'SERVER_ADMINS', 'REGISTRATION', 'DATABASE_URL'],
    );
    expect(misspelt('RATE_LIMIT_LOGINS_FAILED_ACCOUNT', 'HOMESERVER_SECRET_FIL')).toEqual([
      'RATE_LIMIT_LOGIN_FAILED_ACCOUNT',
      'HOMESERVER_SECRET_FILE',
    ]);
    const others = [
      'PATH',
      'HOME',
      'HOSTNAME',
      'LANG',
      'PGPASSWORD',
      'NODE_OPTIONS',
      'npm_config_cache',
      'LOGNAME',
    ];
    expect(misspelt(...others, ...Object.keys(environmentSchema.shape), 'NATS_URL_FILE')).toEqual([]);
  });

  it('reads where traces go as OpenTelemetry spells it', () => {
    const load = (variables: Record<string, string>) => Environment.load(variables).tracing;
    expect(load({})).toEqual({ url: null, headers: {}, serviceName: 'matrix-session-service', ratio: 1 });
    const told = {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'https://tempo.example.org/otlp/?tenant=a',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Basic%20YTpi==, X-Scope-OrgID=100%,empty=',
      OTEL_SERVICE_NAME: 'sessions',
      OTEL_TRACES_SAMPLER_ARG: '0.25',
    };
    expect(load(told)).toEqual({
      url: 'https://tempo.example.org/otlp/v1/traces?tenant=a',
      headers: { authorization: 'Basic YTpi==', 'X-Scope-OrgID': '100%', empty: '' },
      serviceName: 'sessions',
      ratio: 0.25,
    });
    expect(load({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' }).url).toBe(
      'http://localhost:4318/v1/traces',
    );
  });

  it('reads secrets from files', async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, 'url');
    await writeFile(file, ' postgresql://sessions@db/sessions\n');
    expect(Environment.load({ DATABASE_URL_FILE: file }).databaseUrl).toBe(
      'postgresql://sessions@db/sessions',
    );
    expect(() => Environment.load({ DATABASE_URL_FILE: file, DATABASE_URL: 'embedded' })).toThrow(
      'DATABASE_URL and DATABASE_URL_FILE must not both be set',
    );
    await writeFile(file, 'mysql://secret@db');
    const wrong = () => Environment.load({ DATABASE_URL_FILE: file });
    expect(wrong).toThrow(/^DATABASE_URL_FILE must hold a URL that starts with postgres/);
    expect(wrong).not.toThrow('secret');
    await writeFile(file, '\n');
    expect(wrong).toThrow('DATABASE_URL_FILE must hold a secret, and the file is empty');
    expect(() => Environment.load({ NATS_URL_FILE: '/none' })).toThrow('NATS_URL_FILE cannot be read');
  });

  it('has every limit in the table of operating.md, with its default', async () => {
    const operating = await readFile(new URL('../../docs/operating.md', import.meta.url), 'utf8');
    const rows = [
      ...operating.matchAll(/^\| .* \| `((?:RATE_)?LIMIT_[A-Z_]+|DEVICES_PER_USER)`, ([^|]+) \|/gm),
    ];
    const told = new Map(rows.map(([, name = '', value = '']) => [name, value]));
    const defaults: Record<string, string | number | undefined> = environmentSchema.parse({});
    const limits = [...Object.keys(rateLimitVariables), ...Object.keys(limitVariables)].filter(
      (name) => name !== 'RATE_LIMITS',
    );
    expect(rows).toHaveLength(limits.length);
    for (const name of limits) expect([name, told.get(name)]).toEqual([name, inWords(defaults[name]!)]);
  });
});

/** `10/1m` is "10 a minute", `16KiB` "16 KiB of JSON" or "16 KiB", and 1000 "1,000". */
function inWords(value: string | number): unknown {
  const [, points, time, unit = ''] = /^(\d+)\/(\d+)([mh])$/.exec(String(value)) ?? [];
  const units: Record<string, string> = { m: 'minute', h: 'hour' };
  if (points !== undefined && time === '1') return `${points} ${unit === 'h' ? 'an' : 'a'} ${units[unit]}`;
  if (points !== undefined) return `${points} in ${time} ${units[unit]}s`;
  const text =
    typeof value === 'number' ? value.toLocaleString('en') : value.replace(/(\d)([KM]iB)/, '$1 $2');
  return expect.stringMatching(new RegExp(`^(about )?${text}( of JSON| algorithms)?$`));
}

describe('The address of the pages', () => {
  const load = (variables: Record<string, string>) => Environment.load(variables).oauth;

  it('is the origin of PUBLIC_BASE_URL, or ACCOUNT_BASE_URL', () => {
    expect(load({ PUBLIC_BASE_URL: 'HTTPS://Matrix.Example.org/' })).toMatchObject({
      isOn: true,
      pagesUrl: 'https://matrix.example.org',
      apiHost: null,
    });
    const own = {
      PUBLIC_BASE_URL: 'https://example.org/matrix',
      ACCOUNT_BASE_URL: 'https://account.example.org',
    };
    expect(load(own)).toMatchObject({
      isOn: true,
      pagesUrl: 'https://account.example.org',
      apiHost: 'example.org',
    });
  });

  it('has no path, so OAuth 2.0 is off without one', () => {
    const path = { PUBLIC_BASE_URL: 'https://example.org/matrix' };
    expect(load(path).isOn).toBe(false);
    expect(() => load({ ...path, OAUTH: 'on' })).toThrow(
      'ACCOUNT_BASE_URL must be set when PUBLIC_BASE_URL has a path',
    );
    for (const ACCOUNT_BASE_URL of [
      'https://a.example/x',
      'https://a.example/?x',
      'https://a.example/#x',
      'x',
    ])
      expect(() => load({ ACCOUNT_BASE_URL })).toThrow('ACCOUNT_BASE_URL must be');
  });
});
