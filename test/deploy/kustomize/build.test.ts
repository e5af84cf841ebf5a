import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { type Manifest, manifestsIn, problemsOf } from '../../support/kubernetes.js';

const run = promisify(execFile);

async function build(directory: string): Promise<Manifest[]> {
  // `KUBECTL` names the program. It needs no cluster for this.
  const { stdout, stderr } = await run(process.env['KUBECTL']!, ['kustomize', directory]);
  expect(stderr).toBe('');
  return manifestsIn(stdout);
}

it('kubectl builds manifests that conform to Kubernetes, with one image for all', async () => {
  const nodes = await build('deploy/kubernetes');
  const migration = await build('deploy/kubernetes/migration');
  expect([...nodes, ...migration].flatMap((manifest) => problemsOf(manifest))).toEqual([]);
  const find = (kind: string): Manifest => nodes.find((manifest) => manifest.kind === kind);
  const { name } = find('ConfigMap').metadata;
  expect(name).toMatch(/^matrix-session-\w{10}$/);
  const [node] = find('Deployment').spec.template.spec.containers;
  expect(node.envFrom).toEqual([{ configMapRef: { name } }]);
  expect(node.image).toMatch(/^registry\.example\.org\/matrix-session:/);
  expect(migration.map(({ kind }) => kind)).toEqual(['Job']);
  expect(migration[0].spec.template.spec.containers[0].image).toBe(node.image);
  expect(find('ConfigMap').data).toMatchObject({ SERVER_NAME: 'example.org', METRICS_PORT: '9008' });
});
