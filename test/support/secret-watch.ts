import type { Request, Response } from 'express';
import { CapturedLog } from './captured-log.js';

/** Fields of bodies that hold a secret, in requests and in answers. */
const FIELDS = new Set(
  'access_token refresh_token login_token token password new_password code code_verifier device_code user_code'.split(
    ' ',
  ),
);
const SHORTEST = 8;
/** What a token is made of; anything else is looked for letter by letter. */
const WORD = /^[\w.-]+$/;

/** Gathers every secret that tests send or get, and what the services under test log meanwhile. */
export class SecretWatch {
  readonly log = new CapturedLog();
  readonly seen = new Set<string>();

  look(request: Request, response: Response, answer: string): void {
    const { authorization = '', cookie = '' } = request.headers;
    this.add(authorization.replace(/^Bearer /i, ''));
    for (const one of `${cookie};${String(response.getHeader('set-cookie') ?? '')}`.matchAll(/=([^;,]+)/g))
      this.add(one[1]);
    for (const url of [request.url, String(response.getHeader('location') ?? '')])
      for (const [name, value] of new URLSearchParams(url.split('?')[1] ?? ''))
        if (FIELDS.has(name)) this.add(value);
    this.dig(request.body);
    if (answer.startsWith('{')) this.dig(JSON.parse(answer));
  }

  /** The secrets that were logged. Forgets everything. */
  leaks(): string[] {
    const { text } = this.log;
    const words = new Set(text.split(/[^\w.-]+/));
    const leaks = [...this.seen].filter((one) => (WORD.test(one) ? words.has(one) : text.includes(one)));
    this.log.text = '';
    this.seen.clear();
    return leaks.map((secret) => `${secret} is in ${text.split('\n').find((line) => line.includes(secret))}`);
  }

  private dig(value: unknown): void {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, inner] of Object.entries(value)) {
      if (typeof inner === 'object') this.dig(inner);
      else if (FIELDS.has(name)) this.add(inner);
    }
  }

  private add(secret: unknown): void {
    // Words of a language, such as the password "password", may be logged for another reason. So may user IDs, which
    // random bodies hold everywhere.
    if (typeof secret === 'string' && secret.length >= SHORTEST && !/^(?:[a-z]{1,12}|@.+:.+)$/i.test(secret))
      this.seen.add(secret);
  }
}

export const secretWatch = new SecretWatch();
