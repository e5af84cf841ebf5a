import { readdirSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Ajv, type AnySchemaObject } from 'ajv';
import { type parse, parseAllDocuments } from 'yaml';

/** A manifest of any kind. */
export type Manifest = ReturnType<typeof parse>;

/** The manifests of a YAML file. */
export function manifestsIn(yaml: string): Manifest[] {
  return parseAllDocuments(yaml).map((document) => {
    for (const problem of [...document.errors, ...document.warnings]) throw problem;
    return document.toJS();
  });
}

/** The manifests of deploy/kubernetes, each with its file in there. */
export async function ownManifests(): Promise<{ file: string; manifest: Manifest }[]> {
  const directory = 'deploy/kubernetes';
  const files = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.yaml'));
  const read = files.map(async (file) => {
    const manifests = manifestsIn(await readFile(join(directory, file), 'utf8'));
    return manifests.map((manifest) => ({ file, manifest }));
  });
  return (await Promise.all(read)).flat();
}

/** The schemas of Kubernetes, closed: like `kubectl`, they refuse fields that do not exist. */
function readSchemas(): Map<string, AnySchemaObject> {
  const require = createRequire(import.meta.url);
  const library = require.resolve('kubernetes-models/package.json');
  const validation = createRequire(library)('@kubernetes-models/validate') as {
    register: (name: string, schema: AnySchemaObject) => void;
  };
  const found = new Map<string, AnySchemaObject>();
  const { register } = validation;
  // The library hands them to a validator of its own, which lets unknown fields pass.
  validation.register = (name, schema) => found.set(name, closed(schema));
  const directory = join(dirname(library), '_schemas');
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.js')))
    (require(join(directory, file)) as { addSchema(): void }).addSchema();
  validation.register = register;
  return found;
}

function closed<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map(closed) as Value;
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, closed(part)]));
  const isOpen = 'properties' in value && 'type' in value && !('additionalProperties' in value);
  return (isOpen ? { ...copy, additionalProperties: false } : copy) as Value;
}

let validator: { ajv: Ajv; nameOf: Map<string, string> } | undefined;

function prepare(): { ajv: Ajv; nameOf: Map<string, string> } {
  const ajv = new Ajv({ strict: false, allErrors: true });
  for (const name of ['int32', 'int64', 'double', 'byte', 'date-time', 'int-or-string', 'string'])
    ajv.addFormat(name, true);
  ajv.addFormat('quantity', /^[+-]?\d+(\.\d+)?([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?$/);
  const nameOf = new Map<string, string>();
  for (const [name, schema] of readSchemas()) {
    ajv.addSchema(schema, name);
    const { apiVersion, kind } = (schema['properties'] ?? {}) as Record<string, { enum?: string[] }>;
    if (apiVersion?.enum !== undefined && kind?.enum !== undefined)
      nameOf.set(`${kind.enum[0]} ${apiVersion.enum[0]}`, name);
  }
  return { ajv, nameOf };
}

/** Returns what Kubernetes does not accept in a manifest. */
export function problemsOf(manifest: Manifest): string[] {
  const { ajv, nameOf } = (validator ??= prepare());
  const kind = `${manifest.kind} ${manifest.apiVersion}`;
  const name = nameOf.get(kind);
  if (name === undefined) return [`There is no ${kind}`];
  ajv.validate(name, manifest);
  return (ajv.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}
