import { Injectable } from '@nestjs/common';
import { Parts } from '../../config/parts.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';

/** The service's own types of login, as `GET /login` tells them. */
export const OWN_FLOWS = [
  { type: 'm.login.password' },
  { type: 'm.login.token', get_login_token: true },
  { type: 'm.login.application_service' },
];

/** What a client sends with its login that is not in the body. */
export interface LoginContext extends Origin {
  /** The token it shows, if any: that of an application service. */
  readonly token: string | null;
}

/**
 * A type of login that a team adds, such as `org.example.login.jwt` (client-server API, "Login"). The service
 * counts failed attempts of an address, refuses accounts that are locked or deactivated, and begins the session.
 *
 * @example
 * ```ts
 * @Injectable()
 * class JwtLogin extends LoginFlow implements OnModuleInit {
 *   readonly type = 'org.example.login.jwt';
 *   constructor(private readonly flows: LoginFlows) {
 *     super();
 *   }
 *   onModuleInit() {
 *     this.flows.add(this);
 *   }
 *   async prove({ token }: Readonly<Record<string, unknown>>) {
 *     return `@${await subjectOf(token)}:example.org`;
 *   }
 * }
 * ```
 */
export abstract class LoginFlow {
  /** As clients name it. Types that begin with `m.` are the specification's. */
  abstract readonly type: string;

  /** What `GET /login` tells of it beside its type. */
  readonly details: Readonly<Record<string, unknown>> = {};

  /**
   * Resolves with the user ID, in lower case, of the user who has proven who they are. If there is no such account, it
   * is made; then the name must be one that a new user may have: not digits alone, and not with a leading underscore.
   * @param request the body of `POST /login`, fields of its own included
   * @throws {MatrixError} the answer, such as `MatrixError.forbidden('The token has expired')`
   */
  abstract prove(request: Readonly<Record<string, unknown>>, context: LoginContext): Promise<string>;
}

/**
 * The flows that teams have added.
 *
 * @example
 * ```ts
 * onModuleInit() {
 *   this.flows.add(new JwtLogin());
 * }
 * ```
 */
@Injectable()
export class LoginFlows {
  private readonly byType = new Map<string, LoginFlow>();

  /** @internal */
  constructor(private readonly parts: Parts) {}

  /**
   * For a module to call when it is initialised (`onModuleInit`). A flow that another module added for the same type is
   * replaced.
   * @throws {Error} for a type that the service serves itself: `m.login.password` can be left out first
   */
  add(flow: LoginFlow): void {
    if (this.isOwn(flow.type)) throw new Error(`The service has a login of type ${flow.type} already`);
    this.byType.set(flow.type, flow);
  }

  /** The flow of this type; `null` when no team has added one. */
  find(type: string): LoginFlow | null {
    return this.byType.get(type) ?? null;
  }

  /** The service's own, without what was left out. */
  private own(): readonly { readonly type: string }[] {
    return OWN_FLOWS.filter(({ type }) => type !== 'm.login.password' || this.parts.has('password-login'));
  }

  /**
   * Whether the service itself serves logins of this type.
   * @internal
   */
  isOwn(type: string): boolean {
    return this.own().some((flow) => flow.type === type);
  }

  /**
   * Whether attempts of this type are counted elsewhere: guessed passwords where they are looked at, and logins of
   * application services, which log many users in from one address, not at all.
   * @internal
   */
  countsItself(type: string): boolean {
    return type !== 'm.login.token' && this.isOwn(type);
  }

  /**
   * The types of login on offer, as `GET /login` answers.
   * @internal
   */
  onOffer(): readonly object[] {
    return [...this.own(), ...this.all().map(({ type, details }) => ({ ...details, type }))];
  }

  /** All that were added, in their order. */
  all(): readonly LoginFlow[] {
    return [...this.byType.values()];
  }
}
