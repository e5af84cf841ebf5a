import { describe, expect, it } from 'vitest';
import { PRIMARY_STOP_DEADLINE_MS } from '../../src/cli/serving/stop-deadline.js';
import { parse } from 'yaml';
import { Environment, environmentSchema } from '../../src/config/environment.js';
import { milliseconds } from '../../src/config/durations.js';
import { SECRET_FILES } from '../../src/config/secrets.js';
import { environmentOf, file, settingsIn, variablesIn } from '../support/deployment.js';
import { type Manifest, ownManifests } from '../support/kubernetes.js';

const UNITS = ['matrix-session.service', 'matrix-session-migrate.service'].map(
  (name) => `deploy/systemd/${name}`,
);

/** The only container of a workload of this kind. */
async function containerOf(kind: string): Promise<Manifest> {
  const { manifest } = (await ownManifests()).find((one) => one.manifest.kind === kind)!;
  return manifest.spec.template.spec.containers[0];
}

const setBy = (container: Manifest): Record<string, string> =>
  Object.fromEntries(
    (container.env as { name: string; value: string }[]).map(({ name, value }) => [name, value]),
  );

/** What each way to deploy sets, by the file that says so. */
async function allVariables(): Promise<Record<string, Record<string, string>>> {
  const found: Record<string, Record<string, string>> = {};
  for (const name of [...UNITS, 'deploy/synapse/matrix-session.service.d/synapse.conf'])
    found[name] = environmentOf(await file(name));
  for (const name of ['deploy/systemd/session.env', 'deploy/kubernetes/session.env'])
    found[name] = variablesIn(await file(name));
  for (const kind of ['Deployment', 'Job']) found[kind] = setBy(await containerOf(kind));
  const { services } = parse(await file('deploy/synapse/docker-compose.yml'));
  const { PGPASSWORD: _, ...ofCompose } = services.sessions.environment;
  found['deploy/synapse/docker-compose.yml'] = ofCompose;
  return found;
}

/** Loads variables as the service would, with secrets in place of the files. */
function load(variables: Record<string, string>): Environment {
  const secrets = Object.keys(variables)
    .filter((name) => SECRET_FILES.includes(name))
    .map((name) => [name.replace(/_FILE$/, ''), 'postgresql://sessions@postgres/sessions']);
  const others = Object.entries(variables).filter(([name]) => !SECRET_FILES.includes(name));
  return Environment.load(Object.fromEntries([...others, ...secrets]));
}

describe('Variables', () => {
  it('exist, wherever the service is deployed', async () => {
    const known = new Set([...Object.keys(environmentSchema.shape), ...SECRET_FILES]);
    const names = Object.entries(await allVariables()).flatMap(([where, variables]) =>
      Object.keys(variables).map((name) => ({ where, name })),
    );
    expect(names.filter(({ name }) => !known.has(name))).toEqual([]);
    expect(names.map(({ where }) => where)).toContain('deploy/kubernetes/session.env');
    expect(names.length).toBeGreaterThan(25);
  });

  it('are good for the service, and give it no secret but by a file', async () => {
    const all = await allVariables();
    const together = (...names: string[]) =>
      Object.assign({}, ...names.map((name) => all[name])) as Record<string, string>;
    const onMachine = together(UNITS[0]!, 'deploy/systemd/session.env');
    const withSynapse = together(
      UNITS[0]!,
      'deploy/systemd/session.env',
      'deploy/synapse/matrix-session.service.d/synapse.conf',
    );
    const inCluster = together('deploy/kubernetes/session.env', 'Deployment');
    for (const variables of [onMachine, withSynapse, inCluster]) {
      expect(load(variables).serverName).toBe('example.org');
      expect(Object.keys(variables)).toContain('DATABASE_URL_FILE');
      expect(Object.keys(variables)).not.toContain('DATABASE_URL');
    }
    expect(load(withSynapse).homeserver.url).toBe('http://127.0.0.1:8009');
    for (const variables of [all[UNITS[1]!]!, all['Job']!])
      expect(load({ NODE_ENV: 'production', ...variables }).databaseUrl).not.toBeNull();
  });

  it('let only one role migrate', async () => {
    const all = await allVariables();
    const migrates = (variables: Record<string, string>) => variables['MIGRATE'] !== 'off';
    expect([UNITS[0]!, 'Deployment'].filter((name) => migrates(all[name]!))).toEqual([]);
    expect([UNITS[1]!, 'Job'].filter((name) => !migrates(all[name]!))).toEqual([]);
    expect((await containerOf('Job')).args).toEqual(['node', 'dist/main.js', 'migrate']);
    expect(await file(UNITS[1]!)).toMatch(/^ExecStart=\S+ \S+\/dist\/main.js migrate$/m);
  });
});

describe('A node that is stopped', () => {
  it('has time to end, wherever it runs', async () => {
    const { manifest } = (await ownManifests()).find((one) => one.manifest.kind === 'Deployment')!;
    const delayOf = async (name: string) => {
      const { SHUTDOWN_DELAY: delay } = variablesIn(await file(name));
      return delay === undefined ? 0 : milliseconds(delay);
    };
    const [, ofUnit] = settingsIn(await file(UNITS[0]!)).find(([name]) => name === 'TimeoutStopSec')!;
    const { services } = parse(await file('docker-compose.yml'));
    const beside = parse(await file('deploy/synapse/docker-compose.yml')).services;
    const grace = [
      {
        ms: manifest.spec.template.spec.terminationGracePeriodSeconds * 1_000,
        delay: await delayOf('deploy/kubernetes/session.env'),
      },
      { ms: milliseconds(ofUnit), delay: await delayOf('deploy/systemd/session.env') },
      { ms: milliseconds(services.sessions.stop_grace_period), delay: 0 },
      { ms: milliseconds(beside.sessions.stop_grace_period), delay: 0 },
    ];
    for (const { ms, delay } of grace) expect(ms).toBeGreaterThan(delay + PRIMARY_STOP_DEADLINE_MS);
    // A load balancer needs a while to notice.
    expect(grace[0]!.delay).toBeGreaterThan(5_000);
  });
});
