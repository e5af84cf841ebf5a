import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import * as z from 'zod';
import { type Environment, EnvironmentError } from '../config/environment.js';
import { Appservice } from './appservice.js';

/** The application services of the registration files. */
export class AppserviceRegistry {
  private readonly byToken: ReadonlyMap<string, Appservice>;

  /**
   * Reads the files in `APPSERVICE_FILES`.
   * @throws {EnvironmentError} that names the file and what is wrong with it
   */
  static load({ appserviceFiles, serverName }: Environment): AppserviceRegistry {
    const problems: string[] = [];
    const services: Appservice[] = [];
    for (const file of appserviceFiles) {
      try {
        services.push(new Appservice(parse(readFileSync(file, 'utf8')), serverName));
      } catch (error) {
        problems.push(`APPSERVICE_FILES must name registration files; ${file}: ${reasonOf(error)}`);
      }
    }
    for (const what of ['token', 'id', 'sender'] as const) {
      if (new Set(services.map((service) => service[what])).size < services.length) {
        problems.push(`APPSERVICE_FILES must not give two application services the same ${FIELD[what]}`);
      }
    }
    if (problems.length > 0) throw new EnvironmentError(problems);
    return new AppserviceRegistry(services);
  }

  private constructor(readonly services: readonly Appservice[]) {
    this.byToken = new Map(services.map((service) => [digest(service.token), service]));
  }

  /** The service with this as_token. Looks up a digest, so that timing reveals nothing about the token. */
  find(token: string): Appservice | null {
    return this.byToken.get(digest(token)) ?? null;
  }

  /** Whether the user ID is reserved for an application service other than `own`. */
  isReserved(userId: string, own: Appservice | null = null): boolean {
    return this.services.some((service) => service !== own && service.claims(userId));
  }
}

const FIELD = { token: 'as_token', id: 'id', sender: 'sender_localpart' } as const;

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}

function reasonOf(error: unknown): string {
  if (!(error instanceof z.ZodError)) return error instanceof Error ? error.message : String(error);
  return error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
}
