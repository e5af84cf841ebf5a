import { type ArgumentMetadata, Injectable, type PipeTransform, type Type } from '@nestjs/common';
import { validate } from 'class-validator';
import { MatrixError } from './matrix-error.js';

/**
 * Checks a body against the class-validator rules of its DTO. Unknown keys are ignored, nothing is coerced, and
 * values pass through unchanged, so that signatures over them stay valid. `null` counts as absent for keys that are
 * `@IsOptional()`; elsewhere it is a value of the wrong type.
 */
@Injectable()
export class MatrixValidationPipe implements PipeTransform {
  async transform(value: unknown, { type, metatype, data }: ArgumentMetadata): Promise<unknown> {
    // `@Body('name')` takes a single value from the body; only whole bodies have a DTO.
    if (type !== 'body' || data !== undefined || metatype === undefined || metatype === Object) return value;
    return toDto(metatype as Type<object>, value as object);
  }
}

/**
 * Turns a body into a DTO and checks it.
 * @throws {MatrixError} `M_MISSING_PARAM` or `M_BAD_JSON`
 */
export async function toDto<Dto extends object>(type: Type<Dto>, body: object): Promise<Dto> {
  // A key such as "constructor" would hide the DTO's class and all its rules.
  const given = Object.entries(body).filter(([key]) => !(key in Object.prototype));
  const dto = Object.assign(new type(), Object.fromEntries(given));
  const [problem] = await validate(dto, { forbidUnknownValues: false, stopAtFirstError: true });
  if (problem === undefined) return withoutNulls(dto);
  if (problem.value === undefined) throw MatrixError.missingParam(problem.property);
  throw MatrixError.badJson(
    Object.values(problem.constraints ?? {})[0] ?? `Wrong value: ${problem.property}`,
  );
}

function withoutNulls<Dto extends object>(dto: Dto): Dto {
  for (const [key, value] of Object.entries(dto)) if (value === null) Reflect.deleteProperty(dto, key);
  return dto;
}
