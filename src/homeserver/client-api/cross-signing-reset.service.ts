import { Injectable } from '@nestjs/common';
import { AccountsService, requireActive, requireUnchanged } from '../../accounts/accounts.service.js';
import { RateLimiter } from '../../admission/rate-limiter.js';
import type { Requester } from '../../auth/requester.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { ErrorAnswer, MatrixError } from '../../matrix/matrix-error.js';
import { type Authorised, CROSS_SIGNING_RESET, CROSS_SIGNING_UPLOAD } from '../../uia/uia-operation.js';
import { UiaService } from '../../uia/uia.service.js';
import { type ForwardedAnswer, Homeserver } from '../homeserver.port.js';

const PATH = '/_matrix/client/v3/keys/device_signing/upload';
const FLOWS = [['m.login.password']];

/** What a client sends to upload cross-signing keys. */
export interface KeysForwarded {
  readonly token: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly address: string;
}

/** The homeserver's error, as the client of this service gets it. */
class HomeserverError extends ErrorAnswer {
  override readonly status: number;

  constructor(private readonly answer: ForwardedAnswer) {
    super(`The homeserver answers ${answer.status}`);
    this.status = answer.status;
  }

  override toBody(): Record<string, unknown> {
    return { ...this.answer.body };
  }
}

/** Uploads cross-signing keys to the homeserver, which lets this service decide who may replace them. */
@Injectable()
export class CrossSigningResetService {
  constructor(
    private readonly homeserver: Homeserver,
    private readonly uia: UiaService,
    private readonly accounts: AccountsService,
    private readonly limiter: RateLimiter,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /**
   * Uploads the keys. When the homeserver wants a proof, asks for the password, and lets it replace the keys once.
   * @throws {UiaChallenge} for a change of existing keys
   * @throws {ErrorAnswer} the homeserver's own errors
   * @throws {HomeserverUnavailable} if it does not answer
   */
  async upload(requester: Requester, { token, body, address }: KeysForwarded): Promise<object> {
    const { auth, ...keys } = body;
    const proof = isObject(auth) ? auth : undefined;
    // Only the answer to a challenge may leave the keys out.
    if (Object.keys(keys).length > 0 || typeof proof?.['session'] !== 'string') {
      const answer = await this.send(token, keys);
      if (!asksForProof(answer)) return bodyOf(answer);
    }
    const { userId, device, isOAuth } = requester;
    // Clients repeat the call every half a second until the user has agreed on the page.
    if (!isOAuth) await this.limiter.count('challenge', address);
    const authorised = await this.uia.authorise({
      name: CROSS_SIGNING_UPLOAD,
      userId,
      deviceId: device?.deviceId ?? null,
      flows: FLOWS,
      parameters: keys,
      isFixed: true,
      action: isOAuth ? CROSS_SIGNING_RESET : null,
      auth: proof,
      address,
    });
    if (authorised.result !== null) return {};
    return this.replace(requester, token, authorised);
  }

  private async replace({ userId }: Requester, token: string, proof: Authorised): Promise<object> {
    await this.unitOfWork.run(async (tx) => {
      const account = await this.accounts.hold(tx, userId);
      requireActive(account);
      requireUnchanged(account, proof.credential);
    });
    await this.homeserver.allowCrossSigningReset(userId);
    const answer = await this.send(token, proof.parameters);
    if (asksForProof(answer))
      throw new MatrixError(403, 'M_FORBIDDEN', 'The homeserver does not let these keys be replaced');
    const done = bodyOf(answer);
    await this.unitOfWork.run((tx) => this.uia.finish(tx, proof));
    return done;
  }

  private send(token: string, keys: object): Promise<ForwardedAnswer> {
    return this.homeserver.forward({ method: 'POST', path: PATH, token, body: keys });
  }
}

/** The homeserver offers flows that only its own account pages could complete. */
function asksForProof({ status, body }: ForwardedAnswer): boolean {
  return status === 401 && Array.isArray(body['flows']);
}

function bodyOf(answer: ForwardedAnswer): object {
  if (answer.status >= 400) throw new HomeserverError(answer);
  return answer.body;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
