import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { file, variablesIn } from '../support/deployment.js';
import { type Manifest, ownManifests, problemsOf } from '../support/kubernetes.js';
import { useApp } from '../support/test-app.js';

const app = useApp({ variables: { METRICS_PORT: '0' } });

async function find(kind: string): Promise<Manifest> {
  return (await ownManifests()).find(({ manifest }) => manifest.kind === kind)!.manifest;
}
const podOf = async (kind: string): Promise<Manifest> => (await find(kind)).spec.template;

describe('The manifests of deploy/kubernetes', () => {
  it('conform to the schemas of Kubernetes', async () => {
    const resources = (await ownManifests()).filter(({ file: name }) => !name.endsWith('kustomization.yaml'));
    expect(resources.map(({ file: name, manifest }) => ({ name, problems: problemsOf(manifest) }))).toEqual(
      resources.map(({ file: name }) => ({ name, problems: [] })),
    );
    expect(resources.map(({ manifest }) => manifest.kind).toSorted()).toEqual([
      'Deployment',
      'Job',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'Service',
    ]);
  });

  it.each<[what: string, kind: string, damage: (manifest: Manifest) => unknown]>([
    ['a misspelt field', 'Deployment', ({ spec }) => (spec.template.spec.containers[0].readynessProbe = {})],
    ['a misspelt field', 'Service', ({ spec }) => (spec.ports[0].targetport = 8008)],
    ['a misspelt field', 'NetworkPolicy', ({ spec }) => (spec.policyType = ['Ingress'])],
    ['a missing field', 'Deployment', ({ spec }) => delete spec.selector],
    ['a text in place of a number', 'Deployment', ({ spec }) => (spec.replicas = '2')],
    ['a value that does not exist', 'Job', ({ spec }) => (spec.template.spec.restartPolicy = 'Sometimes')],
    [
      'a quantity without sense',
      'Job',
      ({ spec }) => (spec.template.spec.containers[0].resources.limits.memory = '1 GB'),
    ],
    [
      'a version that has no such kind',
      'PodDisruptionBudget',
      (manifest) => (manifest.apiVersion = 'policy/v2'),
    ],
  ])('would not conform with %s: %s', async (_, kind, damage) => {
    const manifest = await find(kind);
    expect(problemsOf(manifest)).toEqual([]);
    damage(manifest);
    expect(problemsOf(manifest)).not.toEqual([]);
  });

  it('are all part of a kustomization, in whatever namespace', async () => {
    const all = await ownManifests();
    const parts = all.flatMap(({ file: name, manifest }) => {
      const named: string[] = [...(manifest.resources ?? []), ...(manifest.components ?? [])];
      return name.endsWith('kustomization.yaml') ? named.map((one) => join(dirname(name), one)) : [];
    });
    const isKustomization = (name: string) => name.endsWith('kustomization.yaml');
    const files = all.map(({ file: name }) => name).filter((name) => !isKustomization(name));
    expect([...new Set(parts)].toSorted()).toEqual([...files, 'image'].toSorted());
    for (const { manifest } of all) expect(manifest.metadata?.namespace).toBeUndefined();
    const [image] = (await find('Component')).images;
    const images = ['Deployment', 'Job'].map(async (kind) => (await podOf(kind)).spec.containers[0].image);
    expect(await Promise.all(images)).toEqual([image.name, image.name]);
    const { version } = JSON.parse(await file('package.json')) as { version: string };
    expect(image.newTag).toBe(version);
  });

  it('hold no secret, and let the nodes see no secret of the owner', async () => {
    expect((await ownManifests()).map(({ manifest }) => manifest.kind)).not.toContain('Secret');
    const secretOf = async (kind: string) => {
      const { volumes, containers } = (await podOf(kind)).spec;
      const { mountPath } = containers[0].volumeMounts[0];
      const { value } = containers[0].env.find(({ name }: Manifest) => name === 'DATABASE_URL_FILE');
      expect(value).toBe(`${mountPath}/database-url`);
      return volumes.map(({ secret }: Manifest) => secret.secretName);
    };
    expect(await secretOf('Deployment')).toEqual(['matrix-session']);
    expect(await secretOf('Job')).toEqual(['matrix-session-owner']);
  });

  it.each(['Deployment', 'Job'])('meet the restricted Pod Security Standard: %s', async (kind) => {
    const { spec } = await podOf(kind);
    expect(spec.automountServiceAccountToken).toBe(false);
    expect(spec.securityContext).toMatchObject({
      runAsNonRoot: true,
      // The image names its user, and the kubelet cannot tell that a name is not root.
      runAsUser: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(spec.containers.map((one: Manifest) => one.securityContext)).toEqual([
      { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    ]);
    const secrets: number[] = spec.volumes.map(({ secret }: Manifest) => secret.defaultMode);
    expect(secrets).toEqual([0o440]);
  });

  it('select the pods of the Deployment, and of nothing else', async () => {
    const [server, migration] = await Promise.all(
      ['Deployment', 'Job'].map(async (kind) => (await podOf(kind)).metadata.labels),
    );
    const { spec } = await find('Deployment');
    const selectors = [
      spec.selector.matchLabels,
      spec.template.spec.topologySpreadConstraints[0].labelSelector.matchLabels,
      (await find('Service')).spec.selector,
      (await find('PodDisruptionBudget')).spec.selector.matchLabels,
    ];
    for (const selector of selectors) expect(selector).toEqual(server);
    expect(migration).not.toEqual(server);
    expect(server).toMatchObject((await find('NetworkPolicy')).spec.podSelector.matchLabels);
  });

  it('probe paths that answer, on the port that the image listens on', async () => {
    const [{ ports, ...container }] = (await podOf('Deployment')).spec.containers;
    const { startupProbe, livenessProbe, readinessProbe } = container;
    expect([startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet)).toEqual([
      { path: '/health/live', port: 'http' },
      { path: '/health/live', port: 'http' },
      { path: '/health/ready', port: 'http' },
    ]);
    for (const { httpGet } of [livenessProbe, readinessProbe]) await app().http.get(httpGet.path).expect(200);
    const [, ofImage] = /^ENV .*\bPORT=(\d+)/m.exec(await file('Dockerfile'))!;
    const { METRICS_PORT: metrics, PORT } = variablesIn(await file('deploy/kubernetes/session.env'));
    expect(PORT).toBeUndefined();
    expect(ports).toEqual([
      { name: 'http', containerPort: Number(ofImage) },
      { name: 'metrics', containerPort: Number(metrics) },
    ]);
    expect((await podOf('Deployment')).metadata.annotations).toMatchObject({
      'prometheus.io/port': metrics,
      'prometheus.io/path': '/metrics',
    });
  });

  it('let clients reach the HTTP port, and only a labelled namespace the metrics', async () => {
    const { spec } = await find('NetworkPolicy');
    expect(spec.policyTypes).toEqual(['Ingress']);
    const [clients, monitoring] = spec.ingress;
    expect(spec.ingress.length).toBe(2);
    expect(clients).toEqual({ ports: [{ port: 'http' }] });
    expect(monitoring.ports).toEqual([{ port: 'metrics' }]);
    const [label] = Object.keys(monitoring.from[0].namespaceSelector.matchLabels);
    expect(await file('docs/deploying.md')).toContain(`${label}=true`);
    expect((await find('Service')).spec.ports.map(({ targetPort }: Manifest) => targetPort)).toEqual([
      'http',
    ]);
  });

  it('keep a node while others are replaced', async () => {
    const { spec } = await find('Deployment');
    expect(spec.replicas).toBeGreaterThan(1);
    expect(spec.strategy.rollingUpdate.maxUnavailable).toBe(0);
    expect((await find('PodDisruptionBudget')).spec.maxUnavailable).toBeLessThan(spec.replicas);
  });
});
