import fc from 'fast-check';

/** An endpoint that the service describes. */
export interface Endpoint {
  readonly method: Method;
  /** With its parameters in braces. */
  readonly path: string;
  /** The schema of its body, if it takes one. */
  readonly body: Schema | undefined;
  readonly query: readonly string[];
}

export type Method = 'get' | 'put' | 'post' | 'delete';
const METHODS: readonly Method[] = ['get', 'put', 'post', 'delete'];

/** What this needs of an OpenAPI document. */
export interface OpenApi {
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}
type PathItem = { readonly servers?: OpenApi['servers'] } & Readonly<Partial<Record<Method, Operation>>>;
interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly servers?: OpenApi['servers'];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}
export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: boolean | Schema;
}

/** Every endpoint that a document describes, with its whole path. */
export function endpointsIn(document: OpenApi): Endpoint[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method];
      if (operation === undefined) return [];
      const [server] = operation.servers ?? item.servers ?? document.servers;
      const [content] = Object.values(operation.requestBody?.content ?? {});
      const query = (operation.parameters ?? []).filter((one) => one.in === 'query').map(({ name }) => name);
      return [{ method, path: server!.url.replace(/\/$/, '') + path, body: content?.schema, query }];
    }),
  );
}

/** Every name that occurs in a body, at any depth. */
const NAMES = `
  algorithms auth address country data device_id device_keys devices display_name erase fallback fallback_keys guest_access_token
  identifier inhibit_login initial_device_display_name key keys locked logout_devices master_key medium new_password number
  one_time_keys password phone refresh_token self_signing_key session signatures signed_curve25519:AAAA suspended timeout token
  type unsigned usage user user_id user_signing_key username @alice:localhost ed25519:D constructor __proto__ toString
`
  .trim()
  .split(/\s+/);

const name = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...NAMES) }, fc.string({ unit: 'binary' }));
const leaf = fc.oneof(
  fc.constantFrom(
    'm.login.password',
    'm.login.dummy',
    'm.login.token',
    'm.id.user',
    'email',
    'alice',
    '',
    '*',
  ),
  fc.constantFrom(
    'D',
    '@alice:localhost',
    'signed_curve25519',
    'ed25519:D',
    'master',
    '\0',
    '\ud800',
    '__proto__',
  ),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.maxSafeInteger(),
  fc.boolean(),
  fc.constant(null),
);
export const { value } = fc.letrec<{ value: unknown; object: object; list: unknown[] }>((tie) => ({
  value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('object'), tie('list')),
  object: fc
    .array(fc.tuple(name, tie('value')), { maxLength: 6 })
    .map((entries) => Object.fromEntries(entries) as object),
  list: fc.array(tie('value'), { maxLength: 4 }),
}));
export const body = fc.oneof(
  { weight: 8, arbitrary: value.map((json) => JSON.stringify(json)) },
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '{', 'null', '[]', '"x"', '{"a":1e400}', '{"auth":{"session":"x"}}'),
);
export const parameter = fc.oneof(
  fc.constantFrom('D', '@alice:localhost', '%00', '%zz', '%2F', '..', '%F0%9F%98%80', '%C3%28', '*'),
  fc.string({ minLength: 1, unit: 'grapheme' }).map(encodeURIComponent),
);

/** Values that fit a schema of the document, but for some. */
export function fitting(schema: Schema, document: OpenApi): fc.Arbitrary<unknown> {
  const whole =
    schema.$ref === undefined ? schema : document.components.schemas[schema.$ref.split('/').at(-1)!]!;
  return fc.oneof({ weight: 9, arbitrary: exactly(whole, document) }, { weight: 1, arbitrary: value });
}

function exactly(schema: Schema, document: OpenApi): fc.Arbitrary<unknown> {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.type === 'string') return fc.oneof(fc.constantFrom(...NAMES), fc.string({ unit: 'binary' }));
  if (schema.type === 'boolean') return fc.boolean();
  if (schema.type === 'integer' || schema.type === 'number')
    return fc.oneof(fc.nat(1_000), fc.maxSafeInteger());
  if (schema.type === 'array')
    return fc.array(schema.items ? fitting(schema.items, document) : value, { maxLength: 3 });
  if (schema.type !== 'object') return value;
  const { additionalProperties: others, properties = {} } = schema;
  const known = Object.entries(properties).map(([key, one]) => [key, fitting(one, document)] as const);
  const named = fc.record(Object.fromEntries(known), { requiredKeys: [] });
  if (typeof others !== 'object') return named;
  return fc
    .tuple(named, fc.dictionary(name, fitting(others, document), { maxKeys: 3 }))
    .map(([one, more]) => ({ ...more, ...one }));
}

/** Returns the object with one of its values, at any depth, replaced. */
export function mutated(object: unknown, at: number, by: unknown): unknown {
  let count = 0;
  const walk = (node: unknown): unknown => {
    count += 1;
    if (count - 1 === at) return by;
    if (Array.isArray(node)) return node.map(walk);
    if (typeof node !== 'object' || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([key, child]) => [key, walk(child)]));
  };
  return walk(object);
}
