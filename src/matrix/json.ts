/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `{ [outer]: { [inner]: value } }`. Every name is allowed, even `__proto__`. */
export function nest<Value>(
  entries: Iterable<readonly [outer: string, inner: string, value: Value]>,
): Record<string, Record<string, Value>> {
  const nested = new Map<string, [inner: string, value: Value][]>();
  for (const [outer, inner, value] of entries) {
    const values = nested.get(outer) ?? [];
    values.push([inner, value]);
    nested.set(outer, values);
  }
  return Object.fromEntries([...nested].map(([outer, values]) => [outer, Object.fromEntries(values)]));
}
