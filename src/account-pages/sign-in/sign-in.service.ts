import { Injectable } from '@nestjs/common';
import { RateLimiter } from '../../admission/rate-limiter.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { Parameters } from '../../matrix/form-body.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { type LoginContext, LoginFlows } from '../../session/login/login-flow.port.js';
import { LoginProofs } from '../../session/login/login-proofs.js';
import { BrowserSessions } from '../browser/browser-sessions.service.js';
import type { OtherSignIn } from '../templates/views.js';
import type { Visit } from '../visit.js';

/** Signs people in on the pages, by the same proofs as `POST /login`. */
@Injectable()
export class SignInService {
  constructor(
    private readonly proofs: LoginProofs,
    private readonly flows: LoginFlows,
    private readonly browsers: BrowserSessions,
    private readonly unitOfWork: UnitOfWork,
    private readonly limiter: RateLimiter,
  ) {}

  get hasPasswords(): boolean {
    return this.flows.isOwn('m.login.password');
  }

  /** The ways to sign in that teams have added, as far as they can be shown as a form. */
  get others(): OtherSignIn[] {
    return this.flows.all().flatMap(({ type, form }) => (form === null ? [] : [{ type, ...form }]));
  }

  /**
   * Checks the form, and begins a session of the browser.
   * @returns the value of the cookie
   * @throws {MatrixError} `M_FORBIDDEN` alike for an unknown user, a wrong password, and a user who may not sign in
   *   here; `M_LIMIT_EXCEEDED`
   */
  async signIn(form: Parameters, { origin, signedIn }: Visit): Promise<string> {
    const type = form.get('type') ?? 'm.login.password';
    const proof = await this.prove(type, form, { ...origin, token: null });
    return this.unitOfWork.run(async (tx) => {
      const cookie = await this.browsers.beginProven(tx, proof, origin);
      await this.browsers.endPrevious(tx, signedIn, origin);
      return cookie;
    });
  }

  private async prove(
    type: string,
    form: Parameters,
    context: LoginContext,
  ): ReturnType<LoginProofs['prove']> {
    if (type === 'm.login.password') {
      if (!this.hasPasswords) throw wrong();
      const [user, password] = [form.get('username'), form.get('password')];
      if (user === null || password === null) throw wrong();
      return this.proofs.prove({ type, identifier: { type: 'm.id.user', user }, password }, context);
    }
    const other = this.others.find((one) => one.type === type);
    if (other === undefined) throw wrong();
    const fields = Object.fromEntries(other.fields.map(({ name }) => [name, form.get(name) ?? '']));
    return this.limiter.countFailures([['login_failed_address', context.address]], () =>
      this.proofs.prove({ ...fields, type }, context),
    );
  }
}

function wrong(): MatrixError {
  return MatrixError.forbidden('Invalid username or password');
}
