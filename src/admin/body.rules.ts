import { ApiBody } from '@nestjs/swagger';
import * as z from 'zod';
import { MatrixError } from '../matrix/matrix-error.js';

/**
 * Checks a body of an administrator, in which unknown keys are refused: a mistyped one would change or end more than
 * intended.
 * @throws {MatrixError} `M_BAD_JSON` or `M_MISSING_PARAM`
 */
export function readBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.infer<Schema> {
  const { success, data, error } = schema.safeParse(body);
  if (success) return data;
  const [issue] = error.issues;
  const { message, path } = issue!;
  const name = path.join('.');
  const isMissing = issue!.code === 'invalid_type' && path.length === 1 && valueAt(body, path) === undefined;
  if (isMissing) throw MatrixError.missingParam(name);
  throw MatrixError.badJson(name === '' ? message : `${name}: ${message}`);
}

/** Describes the body of an endpoint by its schema, with an example. */
export function ApiBodyOf(schema: z.ZodType, example: object) {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return ApiBody({ schema: json as object, examples: { example: { value: example } } });
}

/** A time in seconds would be read as one in 1970, and 2001 is before all sessions. */
const EARLIEST_MS = 1_000_000_000_000;

/** A time, in milliseconds since the epoch. */
export const instant = () =>
  z
    .int()
    .min(EARLIEST_MS, 'must be in milliseconds since the epoch')
    .max(8_640_000_000_000)
    .transform((ms) => new Date(ms));

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  return (body as Record<PropertyKey, unknown> | undefined)?.[path[0]!];
}
