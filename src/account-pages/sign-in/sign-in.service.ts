import { Injectable } from '@nestjs/common';
import { RateLimiter } from '../../admission/rate-limiter.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { Parameters } from '../../matrix/form-body.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { type LoginFlow, LoginFlows } from '../../session/login/login-flow.port.js';
import type { LoginDto } from '../../session/login/login.dto.js';
import { type LoginProof, LoginProofs } from '../../session/login/login-proofs.js';
import { BrowserSessions } from '../browser/browser-sessions.service.js';
import type { OtherSignIn, SignInElsewhere } from '../templates/views.js';
import type { Texts } from '../texts/en.js';
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

  /** The places of teams where people prove who they are. */
  elsewhere(state: string, next: string): SignInElsewhere[] {
    return this.flows.all().flatMap(({ elsewhere }) => {
      if (elsewhere === null) return [];
      const url = new URL(elsewhere.url);
      url.searchParams.set('state', state);
      url.searchParams.set('continue', next);
      return [{ title: elsewhere.title, url: url.href }];
    });
  }

  /**
   * Begins a session of the browser for somebody who comes back from elsewhere.
   * @returns the value of the cookie
   * @throws {MatrixError} as {@link signIn} does
   */
  async comeBack(query: Parameters, visit: Visit): Promise<string> {
    const flow = this.flows.find(query.get('type') ?? '');
    if (flow === null || flow.elsewhere === null) throw wrong();
    return this.begin(await this.proveBy(flow, query.toObject(), visit), visit);
  }

  /**
   * Checks the form, and begins a session of the browser.
   * @returns the value of the cookie
   * @throws {MatrixError} `M_FORBIDDEN` alike for an unknown user, a wrong password, and a user who may not sign in
   *   here; `M_LIMIT_EXCEEDED`
   */
  async signIn(form: Parameters, visit: Visit): Promise<string> {
    const request = this.requestOf(form);
    const flow = this.flows.find(request.type);
    const context = { ...visit.origin, token: null };
    // Failed passwords are counted where the password is checked.
    const proof = flow === null ? this.proofs.prove(request, context) : this.proveBy(flow, request, visit);
    return this.begin(await proof, visit);
  }

  /**
   * The form as the request that a client would send.
   * @throws {MatrixError} `M_FORBIDDEN` for a type that no form is shown for, and without a name or a password
   */
  requestOf(form: Parameters): LoginDto {
    const type = form.get('type') ?? 'm.login.password';
    const shown = this.flows.find(type)?.form ?? null;
    if (shown !== null)
      return { ...Object.fromEntries(shown.fields.map(({ name }) => [name, form.get(name) ?? ''])), type };
    const [user, password] = [form.get('username'), form.get('password')];
    if (type !== 'm.login.password' || !this.hasPasswords || user === null || password === null)
      throw wrong();
    return { type, identifier: { type: 'm.id.user', user }, password };
  }

  /** What the page says about a refusal. A team's own flow says it itself. */
  wordsFor({ message }: MatrixError, form: Parameters, { signIn }: Texts): string {
    const type = form.get('type');
    return type === null || this.flows.find(type) === null ? signIn.failed : message;
  }

  private async begin(proof: LoginProof, { origin, signedIn }: Visit): Promise<string> {
    return this.unitOfWork.run(async (tx) => {
      const cookie = await this.browsers.beginProven(tx, proof, origin);
      await this.browsers.endPrevious(tx, signedIn, origin);
      return cookie;
    });
  }

  private proveBy({ type }: LoginFlow, fields: object, { origin }: Visit): Promise<LoginProof> {
    return this.limiter.countFailures([['login_failed_address', origin.address]], () =>
      this.proofs.prove({ ...fields, type }, { ...origin, token: null }),
    );
  }
}

function wrong(): MatrixError {
  return MatrixError.forbidden('Invalid username or password');
}
