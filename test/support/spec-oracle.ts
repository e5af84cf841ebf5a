import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { NextFunction, Request, Response } from 'express';
import { parse } from 'yaml';

import { secretWatch } from './secret-watch.js';

/** Where the official description is; CI sets it. */
const directory = process.env['MATRIX_SPEC_OPENAPI'];

interface Described {
  servers: { variables: { basePath: { default: string } } }[];
  paths: Record<string, Record<string, { responses: Record<string, { content?: Record<string, unknown> }> }>>;
}

/** Schemas of the official description, by method, path and status. */
class SpecOracle {
  readonly violations: string[] = [];
  checked = 0;
  private readonly ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  private readonly schemas = new Map<string, string>();

  constructor(root: string) {
    const files = readdirSync(root, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.yaml'));
    for (const file of files) {
      const document = parse(readFileSync(join(root, file), 'utf8')) as Described;
      const id = `https://spec.invalid/${file}`;
      this.ajv.addSchema({ ...document, $id: id });
      for (const [path, item] of Object.entries(document.paths ?? {})) this.index(id, document, path, item);
    }
  }

  /** Checks an answer against the official description, if that describes it. */
  check(method: string, path: string, status: number, body: unknown): void {
    const key = `${method} ${path} ${status}`;
    const reference = this.schemas.get(key);
    // For 401, some endpoints describe only the challenge, and not the refusal of a token.
    const { errcode = '' } = body as { errcode?: string };
    const isTokenRefused = ['M_MISSING_TOKEN', 'M_UNKNOWN_TOKEN', 'M_USER_LOCKED'].includes(errcode);
    if (reference === undefined || (status === 401 && isTokenRefused)) return;
    this.checked += 1;
    withoutOlderNames(body);
    const validate = this.ajv.getSchema(reference) ?? this.ajv.compile({ $ref: reference });
    if (!validate(body)) {
      this.violations.push(`${key}: ${this.ajv.errorsText(validate.errors)} in ${JSON.stringify(body)}`);
    }
  }

  private index(id: string, { servers }: Described, path: string, item: Described['paths'][string]): void {
    const base = servers[0]!.variables.basePath.default;
    for (const [method, operation] of Object.entries(item)) {
      for (const [status, response] of Object.entries(operation.responses ?? {})) {
        if (!response.content?.['application/json']) continue;
        const pointer = ['paths', path, method, 'responses', status, 'content', 'application/json', 'schema'];
        const fragment = pointer.map((part) =>
          encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')),
        );
        this.schemas.set(`${method.toUpperCase()} ${base}${path} ${status}`, `${id}#/${fragment.join('/')}`);
      }
    }
  }
}

/** The description knows the newest names only; clients in use look for the ones before, too. */
function withoutOlderNames(body: unknown): void {
  const { account_management_actions_supported: actions } = (body ?? {}) as Record<string, unknown>;
  if (!Array.isArray(actions)) return;
  for (const older of ['sessions_list', 'session_view', 'session_end']) {
    const at = actions.indexOf(`org.matrix.${older}`);
    if (at !== -1) actions.splice(at, 1);
  }
}

export const specOracle = directory === undefined ? null : new SpecOracle(directory);

/** Checks every answer of the service with the oracle, and gathers its secrets. */
@Module({})
export class SpecCheckModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer
      .apply((request: Request, response: Response, next: NextFunction) => {
        // Check what is sent, whichever code wrote it.
        const end = response.end.bind(response) as (...args: unknown[]) => Response;
        response.end = ((...args: unknown[]) => {
          const [chunk] = args;
          const text = typeof chunk === 'string' || Buffer.isBuffer(chunk) ? chunk.toString() : '';
          look(request, response, text);
          secretWatch.look(request, response, text);
          return end(...args);
        }) as Response['end'];
        next();
      })
      .forRoutes('{*path}');
  }
}

function look(request: Request, response: Response, text: string): void {
  const route = (request.route as { path?: string } | undefined)?.path ?? '';
  if (!text.startsWith('{')) return;
  specOracle?.check(
    request.method,
    route.replace(/:(\w+)/g, '{$1}'),
    response.statusCode,
    JSON.parse(text) as object,
  );
}
