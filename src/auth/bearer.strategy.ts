import { Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { Strategy } from 'passport-http-bearer';
import { MatrixError } from '../matrix/matrix-error.js';
import { type IdentityAssertion, TokenVerifier, type Verdict } from './token-verifier.port.js';

type Verify = (request: Request, token: string, done: (error: unknown, verdict?: Verdict) => void) => void;

/** Typed here, because the package's declarations would pull in those of another framework. */
const HttpBearerStrategy = Strategy as unknown as new (
  options: { passReqToCallback: true },
  verify: Verify,
) => { authenticate(request: Request): void };

/**
 * Passport's bearer strategy with Matrix's rules ("Using access tokens"): the token comes from the header, or from
 * `?access_token=`, which version 1.19 and older allow. It must be given exactly once.
 */
@Injectable()
export class BearerStrategy extends HttpBearerStrategy {
  /** The guard sets these three for each request. */
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
      // Any number of spaces may separate scheme and token (RFC 9110, 11.4); the library accepts only one.
      headers.authorization &&= headers.authorization.replace(/^(\S+) +/, '$1 ');
      super.authenticate(request);
    }
  }
}

/** Refuses a repeated parameter, so that a service never acts for the wrong user. */
async function assertion(query: Request['query']): Promise<IdentityAssertion> {
  const { user_id: userId, device_id: deviceId } = query;
  for (const named of [userId, deviceId]) {
    if (named !== undefined && typeof named !== 'string')
      throw MatrixError.invalidParam('user_id and device_id may be given once');
  }
  return { userId: userId as string | undefined, deviceId: deviceId as string | undefined };
}

/** Node's `headers` silently keep only the first of several. */
function isRepeated(name: string, rawHeaders: readonly string[]): boolean {
  let found = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]!.length === name.length && rawHeaders[at]!.toLowerCase() === name) found += 1;
  }
  return found > 1;
}
