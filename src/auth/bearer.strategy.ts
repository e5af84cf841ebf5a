import { Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { Strategy } from 'passport-http-bearer';
import { MatrixError } from '../matrix/matrix-error.js';
import { type IdentityAssertion, TokenVerifier, type Verdict } from './token-verifier.port.js';

type Verify = (request: Request, token: string, done: (error: unknown, verdict?: Verdict) => void) => void;

/** Spelled out, so that our declarations need none of the package: its own bring those of a whole other framework. */
const HttpBearerStrategy = Strategy as unknown as new (
  options: { passReqToCallback: true },
  verify: Verify,
) => { authenticate(request: Request): void };

/**
 * Passport's bearer strategy within Matrix's rules ("Using access tokens"): the token comes from the header, or
 * from `?access_token=`, which version 1.19 and older allow; once, and from one place only.
 */
@Injectable()
export class BearerStrategy extends HttpBearerStrategy {
  /** The guard gives these to the strategy of each request. */
  declare success: (verdict: Verdict) => void;
  declare fail: (status: number) => void;
  declare error: (error: unknown) => void;

  constructor(verifier: TokenVerifier) {
    super({ passReqToCallback: true }, ({ query }, token, done) => {
      assertion(query)
        .then((asserted) => verifier.verify(token, asserted))
        .then(
          (verdict) => done(null, verdict),
          (error: unknown) => done(error),
        );
    });
  }

  override authenticate(request: Request): void {
    const { headers, rawHeaders, query } = request;
    const parameter = query['access_token'];
    const isTwice = Array.isArray(parameter) || isRepeated('authorization', rawHeaders);
    if (isTwice || (headers.authorization !== undefined && parameter !== undefined)) {
      this.fail(400);
    } else {
      // Any number of blanks may stand between scheme and token (RFC 9110, 11.4); the library knows one.
      headers.authorization &&= headers.authorization.replace(/^(\S+) +/, '$1 ');
      super.authenticate(request);
    }
  }
}

/** Two names are none: nobody must be acted for by mistake. */
async function assertion(query: Request['query']): Promise<IdentityAssertion> {
  const { user_id: userId, device_id: deviceId } = query;
  for (const named of [userId, deviceId]) {
    if (named !== undefined && typeof named !== 'string')
      throw MatrixError.invalidParam('user_id and device_id may be given once');
  }
  return { userId: userId as string | undefined, deviceId: deviceId as string | undefined };
}

/** Node's `headers` keep the first of several, without a word. */
function isRepeated(name: string, rawHeaders: readonly string[]): boolean {
  let found = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]!.length === name.length && rawHeaders[at]!.toLowerCase() === name) found += 1;
  }
  return found > 1;
}
