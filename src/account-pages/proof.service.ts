import { Injectable } from '@nestjs/common';
import { PasswordProofs } from '../accounts/password-proofs.js';
import { PasswordVerifier } from '../accounts/password-verifier.port.js';
import type { Parameters } from '../matrix/form-body.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { Refusals } from '../matrix/refusals.js';
import { Clock } from '../system/clock.js';
import type { Proven } from '../uia/uia-stage.port.js';
import { BrowserSessions } from './browser/browser-sessions.service.js';
import type { ProofView } from './templates/views.js';
import type { SignedInVisit } from './visit.js';

/** How long a sign-in is proof enough for what cannot be undone ("Account management", MSC4191). */
const FRESH_MS = 5 * 60_000;

/** The user has just proven who they are. */
export const NO_PROOF: ProofView = { kind: 'none', url: '', error: null };

/** The user has not proven who they are: the form is shown again, with this. */
export class ProofNeeded extends Error {
  constructor(readonly proof: ProofView) {
    super('A proof is needed');
  }
}

/** Asks once more who somebody is before they do what cannot be undone. */
@Injectable()
export class Proofs {
  constructor(
    private readonly passwords: PasswordProofs,
    private readonly verifier: PasswordVerifier,
    private readonly browsers: BrowserSessions,
    private readonly refusals: Refusals,
    private readonly clock: Clock,
  ) {}

  /** Whether the user has a password, here or elsewhere. */
  async hasPassword({ signedIn: { account } }: SignedInVisit): Promise<boolean> {
    return account.passwordHash !== null || this.verifier.keeps(account.userId);
  }

  /** Whether the password cannot be changed here: there is none, or it is kept elsewhere. */
  async isElsewhere({ signedIn: { account } }: SignedInVisit): Promise<boolean> {
    return account.passwordHash === null || this.verifier.keeps(account.userId);
  }

  /**
   * How the user proves who they are.
   * @param url the page to come back to
   */
  async viewFor(visit: SignedInVisit, url: string, error: string | null = null): Promise<ProofView> {
    if (this.isFresh(visit)) return { kind: 'none', url, error };
    const kind = (await this.hasPassword(visit)) ? 'password' : 'sign-in';
    return { kind, url: `/account/login?continue=${encodeURIComponent(url)}`, error };
  }

  /**
   * Checks the proof that a form brings, if one is needed.
   * @param url the page of the form
   * @throws {ProofNeeded} if it is missing or wrong
   * @throws {MatrixError} `M_LIMIT_EXCEEDED`
   */
  async require(visit: SignedInVisit, form: Parameters, url: string): Promise<Proven> {
    const { account, session } = visit.signedIn;
    if (this.isFresh(visit)) return { userId: account.userId, credential: null };
    const password = form.get('password');
    if (password === null) throw new ProofNeeded(await this.viewFor(visit, url));
    const proven = await this.verify(visit, password);
    if (proven === null) throw new ProofNeeded(await this.viewFor(visit, url, visit.texts.prove.wrong));
    await this.browsers.confirm(session);
    return proven;
  }

  /**
   * Checks the password of who is signed in. Failures are counted as those of logins.
   * @returns `null` if it is wrong
   */
  async verify(visit: SignedInVisit, password: string): Promise<Proven | null> {
    const { signedIn, origin, request } = visit;
    try {
      const login = { type: 'm.id.user', user: signedIn.account.userId } as const;
      return await this.passwords.verify(login, password, origin.address);
    } catch (error) {
      if (!(error instanceof MatrixError) || error.errcode !== 'M_FORBIDDEN') throw error;
      this.refusals.refused(request, error);
      return null;
    }
  }

  private isFresh({ signedIn: { session } }: SignedInVisit): boolean {
    return this.clock.now().getTime() - session.authenticatedAt.getTime() < FRESH_MS;
  }
}
