import { applyDecorators, type Type } from '@nestjs/common';
import { ApiBody, ApiParam, ApiResponse, ApiSecurity } from '@nestjs/swagger';
import type { Errcode } from './matrix-error.js';

type Schema = NonNullable<Extract<Parameters<typeof ApiResponse>[0], { schema?: unknown }>['schema']>;

export const EMPTY_OBJECT: Schema = { type: 'object', properties: {} };

/** The body of an endpoint, with an example that works when sent as it is. */
export function ApiExample(type: Type, value: object) {
  return ApiBody({ type, examples: { example: { value } } });
}

/** The user that the path names. */
export function ApiUserId() {
  return ApiParam({ name: 'userId', description: 'A whole user ID.', example: '@alice:localhost' });
}

/** The device that the path names. */
export function ApiDeviceId() {
  return ApiParam({ name: 'deviceId', description: 'One of the user’s devices.', example: 'GHTYAJCE' });
}

/**
 * Describes an error of an endpoint for Swagger: its status, when it occurs and its `errcode`s.
 * @param more further properties of the answer
 *
 * @example
 * ```ts
 * @Get('notes/:id')
 * @ApiMatrixError(404, 'There is no such note.', ['M_NOT_FOUND'])
 * get(@Param('id') id: string) {}
 * ```
 */
export function ApiMatrixError(
  status: number,
  description: string,
  errcodes: Errcode[],
  more: Record<string, Schema> = {},
) {
  return ApiResponse({
    status,
    description,
    schema: {
      type: 'object',
      required: ['errcode', 'error'],
      properties: {
        errcode: { type: 'string', enum: errcodes },
        error: { type: 'string', description: 'What went wrong, for a person to read.' },
        ...more,
      },
    },
  });
}

/**
 * Tells Swagger that the endpoint needs an access token, how to send it, and what the answer to a bad one is.
 *
 * @example
 * ```ts
 * @ClientController()
 * @ApiAccessToken()
 * class NotesController {}
 * ```
 */
export function ApiAccessToken() {
  return applyDecorators(
    ApiSecurity('accessTokenQuery'),
    ApiSecurity('accessTokenBearer'),
    ApiMatrixError(
      401,
      'There is no access token, or it is not valid.',
      ['M_MISSING_TOKEN', 'M_UNKNOWN_TOKEN'],
      {
        soft_logout: {
          type: 'boolean',
          description:
            'True while the device lives: the client keeps its keys and may log in again or refresh.',
        },
      },
    ),
  );
}

/**
 * The errors of an endpoint that takes a JSON body.
 * @param more further `errcode`s of a 400
 */
export function ApiJsonBodyErrors(...more: Errcode[]) {
  return applyDecorators(
    ApiMatrixError(400, 'The body is not JSON or not of the right shape, or asks for something impossible.', [
      'M_NOT_JSON',
      'M_BAD_JSON',
      'M_MISSING_PARAM',
      'M_INVALID_PARAM',
      ...more,
    ]),
    ApiMatrixError(413, 'The body is larger than `LIMIT_BODY`.', ['M_TOO_LARGE']),
  );
}

/** The endpoint answers 401 until the user has proven who they are ("User-interactive authentication"). */
export function ApiInteractiveAuth() {
  return ApiResponse({
    status: 401,
    description:
      'Authentication is needed: send the request again with `auth`. Or the access token is not valid.',
    schema: {
      type: 'object',
      properties: {
        flows: { type: 'array', items: { type: 'object' } },
        params: { type: 'object' },
        session: { type: 'string' },
        completed: { type: 'array', items: { type: 'string' } },
        errcode: { type: 'string', description: 'When a stage failed, or the token.' },
        error: { type: 'string' },
      },
    },
  });
}

/** The endpoint is rate-limited, as configured. */
export function ApiRateLimit() {
  return ApiMatrixError(
    429,
    'Too many requests; `Retry-After` says in seconds when to come back.',
    ['M_LIMIT_EXCEEDED'],
    {
      retry_after_ms: { type: 'integer', description: 'When to come back, in milliseconds.' },
    },
  );
}
