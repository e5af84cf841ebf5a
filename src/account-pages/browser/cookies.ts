import type { Request, Response } from 'express';

/** The cookies of the pages: who is signed in, and who only looks. */
export type CookieName = 'session' | 'visitor';

/** A value of a cookie that this service has set. */
const VALUE = /^[\w.-]{1,512}$/;

/** Reads and sets the cookies. Over https their names keep other hosts from setting them (RFC 6265bis, `__Host-`). */
export class Cookies {
  constructor(private readonly isSecure: boolean) {}

  read({ headers }: Request, name: CookieName): string | null {
    const prefix = `${this.nameOf(name)}=`;
    const found = (headers.cookie ?? '')
      .split(';')
      .map((cookie) => cookie.trim())
      .find((cookie) => cookie.startsWith(prefix));
    const value = found?.slice(prefix.length) ?? '';
    return VALUE.test(value) ? value : null;
  }

  /** @param lifeMs `null`: until the browser closes; 0: the cookie is deleted */
  set(response: Response, name: CookieName, value: string, lifeMs: number | null): void {
    const attributes = [
      `${this.nameOf(name)}=${value}`,
      'Path=/',
      'HttpOnly',
      'SameSite=Lax',
      ...(this.isSecure ? ['Secure'] : []),
      ...(lifeMs === null ? [] : [`Max-Age=${Math.floor(lifeMs / 1_000)}`]),
    ];
    response.append('Set-Cookie', attributes.join('; '));
  }

  private nameOf(name: CookieName): string {
    return this.isSecure ? `__Host-${name}` : name;
  }
}
