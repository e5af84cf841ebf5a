import type { Texts } from '../texts/en.js';

/** What every template gets besides its own view. */
export interface PageContext {
  readonly texts: Texts;
  /** How the operator wants the pages to look. */
  readonly look: Look;
  /** Goes into each form, as the field `csrf`. */
  readonly csrf: string;
}

/** How the operator wants the pages to look. */
export interface Look {
  readonly name: string;
  readonly serverName: string;
  /** `null`: none. */
  readonly logoUrl: string | null;
  /** As `#rrggbb`. */
  readonly color: string;
  readonly scriptUrl: string;
}

/** Another way to sign in, which a team has added. */
export interface OtherSignIn {
  readonly type: string;
  readonly title: string;
  readonly fields: readonly {
    readonly name: string;
    readonly label: string;
    readonly type: 'text' | 'password';
  }[];
}

/** A link below a message. */
export interface LinkTo {
  readonly url: string;
  readonly text: string;
}

/** Another place where people prove who they are. */
export interface SignInElsewhere {
  readonly title: string;
  /** With the state of this browser. */
  readonly url: string;
}

/** Signing in. */
export interface SignInView {
  /** Where the form goes. */
  readonly action: string;
  /** Where the browser goes on after that. */
  readonly continue: string;
  /** The app that asks, if it is known. */
  readonly app: string | null;
  readonly username: string;
  readonly hasPasswords: boolean;
  readonly others: readonly OtherSignIn[];
  readonly elsewhere: readonly SignInElsewhere[];
  /** The page for a new account; `null` while nobody may register. */
  readonly registerUrl: string | null;
  readonly error: string | null;
}

/** A new account. */
export interface RegisterView {
  readonly continue: string;
  readonly username: string;
  readonly needsToken: boolean;
  readonly signInUrl: string;
  readonly error: { readonly field: 'username' | 'password' | 'token'; readonly text: string } | null;
}

/** An app, as it describes itself. */
export interface AppView {
  readonly title: string;
  readonly host: string;
  /** Whether the answer goes to that host, so that nobody else can ask in its name. */
  readonly isHostProven: boolean;
  readonly termsUrl: string | null;
  readonly policyUrl: string | null;
}

/** The question whether an app may use the account. */
export interface ConsentView {
  readonly app: AppView;
  readonly userId: string;
  readonly deviceId: string;
  /** Whether a session on this device ends, because the new one takes its place. */
  readonly isDeviceKnown: boolean;
  /** The host or the scheme that the browser goes on to. */
  readonly target: string;
  /** The request, which the form repeats. */
  readonly request: string;
  /** This page. */
  readonly url: string;
}

/** A device that waits. */
export interface LinkView {
  /** `null`: no code was typed yet. */
  readonly device: {
    readonly app: AppView;
    readonly userCode: string;
    readonly deviceId: string;
    readonly isDeviceKnown: boolean;
    readonly address: string;
    readonly userAgent: string | null;
  } | null;
  readonly userCode: string;
  readonly userId: string;
  readonly error: string | null;
}

/** A session of a client, on the account page. */
export interface SessionView {
  readonly deviceId: string;
  readonly name: string | null;
  /** `null`: it signs in by the login API. */
  readonly app: string | null;
  readonly lastSeenAt: Date | null;
  readonly lastSeenAddress: string | null;
  readonly userAgent: string | null;
  readonly begunAt: Date;
  /** `null`: not known any more. */
  readonly begunAddress: string | null;
}

/** A browser that is signed in on the pages. */
export interface BrowserView {
  /** Names it in a form. */
  readonly id: string;
  readonly isThis: boolean;
  readonly userAgent: string | null;
  readonly address: string | null;
  readonly seenAt: Date;
}

/** Something that happened to the account. */
export interface ActivityView {
  readonly at: Date;
  readonly action: string;
  readonly detail: string | null;
  readonly address: string | null;
  readonly userAgent: string | null;
}

/** Everything about the account. */
export interface AccountView {
  readonly userId: string;
  readonly sessions: readonly SessionView[];
  readonly browsers: readonly BrowserView[];
  readonly activity: readonly ActivityView[];
  readonly hasPassword: boolean;
  readonly notice: string | null;
}

/** How the user proves once more who they are. */
export interface ProofView {
  /** `none`: no need; `password`: by the password; `sign-in`: by signing in again at `url`. */
  readonly kind: 'none' | 'password' | 'sign-in';
  readonly url: string;
  readonly error: string | null;
}

/** The question whether to end sessions. */
export interface EndView {
  readonly mode: 'selected' | 'others' | 'all';
  /** Those that end, or in the mode `others` the one that stays. */
  readonly sessions: readonly SessionView[];
  readonly proof: ProofView;
}

/** A device that wants other cross-signing keys. */
export interface ResetView {
  readonly waiting: { readonly sessionId: string; readonly device: string; readonly deviceId: string } | null;
  readonly proof: ProofView;
}

/** A form of the account with fields of its own. */
export interface ChangePasswordView {
  readonly userId: string;
  readonly isElsewhere: boolean;
  readonly error: { readonly field: 'old' | 'next'; readonly text: string } | null;
}

/** Giving up the account. */
export interface DeactivateView {
  readonly userId: string;
  readonly proof: ProofView;
  readonly error: string | null;
}

/** One stage of interactive authentication, for clients that cannot show it. */
export interface StageView {
  readonly action: string;
  readonly session: string;
  /** Who has to confirm it; `null`: nobody is signed in yet. */
  readonly userId: string | null;
  /** What the user confirms, in words. */
  readonly operation: string;
  readonly stage: 'm.login.password' | 'm.login.registration_token' | 'm.login.dummy';
  readonly error: string | null;
}
