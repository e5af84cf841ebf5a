import { Injectable } from '@nestjs/common';
import { Parts } from '../../config/parts.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';

/** The service's own login types, as `GET /login` returns them. */
export const OWN_FLOWS = [
  { type: 'm.login.password' },
  { type: 'm.login.token', get_login_token: true },
  { type: 'm.login.application_service' },
];

/** What a client sends with its login besides the body. */
export interface LoginContext extends Origin {
  /** The access token that it sends, if any: that of an application service. */
  readonly token: string | null;
}

/**
 * Single sign-on: a link of the sign-in page to a place of yours. It gets the parameters `state` and `continue`. When
 * the user has proven who they are, send the browser back to `/account/login/return` with both, the `type` of the
 * flow, and whatever `prove` needs, such as a code that is good once. Another browser's `state` is refused, so nobody
 * can be signed in as somebody else by a link.
 *
 * @example
 * ```ts
 * const elsewhere: LoginElsewhere = { title: 'Sign in with your company', url: 'https://id.example.org/start' };
 * // The end, at https://id.example.org:
 * const back = new URLSearchParams({ type, state, continue: next, code });
 * response.redirect(303, `${pages}/account/login/return?${back}`);
 * ```
 */
export interface LoginElsewhere {
  /** The text of the link. */
  readonly title: string;
  readonly url: string;
}

/**
 * A form of the sign-in page.
 *
 * @example
 * ```ts
 * const form: LoginForm = {
 *   title: 'Sign in with your badge',
 *   fields: [{ name: 'badge', label: 'Number of your badge', type: 'text' }],
 * };
 * ```
 */
export interface LoginForm {
  /** The text of its button. */
  readonly title: string;
  /** Names, as `prove` gets them; `csrf`, `continue` and `type` are taken. */
  readonly fields: readonly {
    readonly name: string;
    readonly label: string;
    readonly type: 'text' | 'password';
  }[];
}

/**
 * A login type that a team adds, such as `org.example.login.jwt` (client-server API, "Login"). The service counts
 * failed attempts per address, refuses locked or deactivated accounts, and starts the session.
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
  /** The type, as clients send it. Types that begin with `m.` are reserved for the specification. */
  abstract readonly type: string;

  /** What `GET /login` returns for it besides its type. */
  readonly details: Readonly<Record<string, unknown>> = {};

  /**
   * Where the sign-in page sends people who prove elsewhere who they are, such as at another identity provider.
   * `null`: nowhere. See {@link LoginElsewhere}.
   */
  readonly elsewhere: LoginElsewhere | null = null;

  /**
   * How the sign-in page of the service asks for it: a form with these fields, whose values `prove` gets as strings.
   * `null`: clients alone offer it.
   */
  readonly form: LoginForm | null = null;

  /**
   * Checks the login and resolves with the user ID, in lower case. If there is no such account, it is created; the
   * name must then be allowed for a new user: not only digits, and without a leading underscore.
   * @param request the body of `POST /login`, including the fields of this login type
   * @throws {MatrixError} the error response, such as `MatrixError.forbidden('The token has expired')`
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
   * Adds a flow. Call it when your module is initialised (`onModuleInit`). It replaces a flow that another module
   * added for the same type.
   * @throws {Error} for a type that the service provides itself; `m.login.password` can be left out first
   */
  add(flow: LoginFlow): void {
    if (this.isOwn(flow.type)) throw new Error(`The service has a login of type ${flow.type} already`);
    this.byType.set(flow.type, flow);
  }

  /** The flow of this type; `null` when no team has added one. */
  find(type: string): LoginFlow | null {
    return this.byType.get(type) ?? null;
  }

  /** The service's own flows, without those that were left out. */
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
   * Whether attempts of this type are not counted by the login endpoint: passwords are counted where they are
   * checked, and application services are not counted, because they log many users in from one address.
   * @internal
   */
  countsItself(type: string): boolean {
    return type !== 'm.login.token' && this.isOwn(type);
  }

  /**
   * The login types on offer, as `GET /login` returns them.
   * @internal
   */
  onOffer(): readonly object[] {
    return [...this.own(), ...this.all().map(({ type, details }) => ({ ...details, type }))];
  }

  /** All added flows, in the order they were added. */
  all(): readonly LoginFlow[] {
    return [...this.byType.values()];
  }
}
