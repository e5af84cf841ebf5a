import { applyDecorators } from '@nestjs/common';
import { ApiQuery } from '@nestjs/swagger';
import * as z from 'zod';
import { MatrixError } from '../matrix/matrix-error.js';

type Shape = Readonly<Record<string, z.ZodType>>;

/**
 * Reads query parameters by a schema: numbers and booleans are written as text there.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function readQuery<Schema extends z.ZodObject>(
  schema: Schema,
  query: Readonly<Record<string, unknown>>,
): z.infer<Schema> {
  const values = Object.fromEntries(
    Object.keys(schema.shape)
      .filter((name) => query[name] !== undefined)
      .map((name) => [name, valueOf(query[name], schema.shape[name] as z.ZodType)]),
  );
  const { success, data, error } = schema.safeParse(values);
  if (success) return data;
  const [issue] = error.issues;
  throw MatrixError.invalidParam(`${issue!.path.join('.')}: ${issue!.message}`);
}

/** Describes the parameters for Swagger. */
export function ApiQueries(schema: z.ZodObject) {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return applyDecorators(
    ...Object.entries(properties).map(([name, property]) => {
      const { description, ...described } = property as { description?: string };
      return ApiQuery({
        name,
        required: false,
        schema: described,
        ...(description === undefined ? {} : { description }),
      });
    }),
  );
}

/** The names of the parameters. */
export function namesOf({ shape }: { readonly shape: Shape }): string[] {
  return Object.keys(shape);
}

/** What text stands for where the schema wants a number or a boolean. */
function valueOf(text: unknown, schema: z.ZodType): unknown {
  const type = typeOf(schema);
  if (type === 'boolean') return text === 'true' || (text === 'false' ? false : text);
  return type === 'integer' && typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : text;
}

const types = new WeakMap<z.ZodType, unknown>();

function typeOf(schema: z.ZodType): unknown {
  if (!types.has(schema))
    types.set(schema, z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }).type);
  return types.get(schema);
}
