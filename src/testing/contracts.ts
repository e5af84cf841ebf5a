import { ok, strictEqual } from 'node:assert/strict';
import type { PasswordPolicy } from '../accounts/password-policy.port.js';
import type { PasswordVerifier } from '../accounts/password-verifier.port.js';
import type { ThreepidDirectory } from '../accounts/threepid-directory.port.js';
import type { SharedRooms } from '../keys/device-lists/shared-rooms.port.js';

/** One thing that every implementation of a port must do, for any test runner. */
export interface ContractCheck {
  readonly name: string;
  /** Rejects if the implementation does not do it. */
  readonly check: () => Promise<void>;
}

/** What the contract needs to know about an implementation of {@link PasswordVerifier}. */
export interface PasswordVerifierSample {
  readonly verifier: PasswordVerifier;
  /** A user whose password it keeps. */
  readonly kept: { readonly userId: string; readonly password: string };
  /** A user ID of the server that it knows nothing about. */
  readonly unknownUserId: string;
}

/** Strings that a client may send as a password. */
const ODD_PASSWORDS = [
  '',
  ' ',
  'x'.repeat(10_000),
  'pa\nss',
  '\u{1F600}',
  '*',
  ')(cn=*',
  "' OR 1=1 --",
  '%s',
];

/**
 * What the service expects of a {@link PasswordVerifier}, such as one that asks LDAP.
 *
 * @example
 * ```ts
 * const sample = { verifier, kept: { userId: '@ann:localhost', password: 'right' }, unknownUserId: '@no:localhost' };
 * for (const { name, check } of passwordVerifierContract(sample)) it(name, check);
 * ```
 */
export function passwordVerifierContract(sample: PasswordVerifierSample): readonly ContractCheck[] {
  const { verifier, kept, unknownUserId } = sample;
  return [
    {
      name: 'keeps the passwords of its users, and of no others',
      check: async () => {
        strictEqual(await verifier.keeps(kept.userId), true);
        strictEqual(await verifier.keeps(unknownUserId), false);
      },
    },
    {
      name: 'says yes to the right password, each time it is asked',
      check: async () => {
        for (let time = 0; time < 2; time += 1)
          strictEqual(await verifier.verify(kept.userId, kept.password), true);
      },
    },
    {
      name: 'says no to every other password, and does not reject',
      check: async () => {
        const wrong = [
          `${kept.password}x`,
          kept.password.slice(1),
          kept.password.toUpperCase(),
          ...ODD_PASSWORDS,
        ];
        for (const password of wrong.filter((one) => one !== kept.password))
          strictEqual(
            await verifier.verify(kept.userId, password),
            false,
            `accepted ${JSON.stringify(password)}`,
          );
      },
    },
    {
      name: 'answers requests that come at the same time, each for itself',
      check: async () => {
        const passwords = [kept.password, 'wrong', kept.password, 'wrong'];
        const answers = await Promise.all(
          passwords.map((password) => verifier.verify(kept.userId, password)),
        );
        strictEqual(answers.join(), 'true,false,true,false');
      },
    },
  ];
}

/** What the contract needs to know about an implementation of {@link ThreepidDirectory}. */
export interface ThreepidDirectorySample {
  readonly directory: ThreepidDirectory;
  /** An address as the service would pass it, and the full user ID that it belongs to. */
  readonly known: { readonly medium: 'email' | 'msisdn'; readonly address: string; readonly userId: string };
}

/**
 * What the service expects of a {@link ThreepidDirectory}.
 *
 * @example
 * ```ts
 * const known = { medium: 'email', address: 'ann@example.org', userId: '@ann:localhost' } as const;
 * for (const { name, check } of threepidDirectoryContract({ directory, known })) it(name, check);
 * ```
 */
export function threepidDirectoryContract(sample: ThreepidDirectorySample): readonly ContractCheck[] {
  const { directory, known } = sample;
  const other = known.medium === 'email' ? 'msisdn' : 'email';
  return [
    {
      name: 'gives the user ID of an address, each time it is asked',
      check: async () => {
        for (let time = 0; time < 2; time += 1)
          strictEqual(await directory.find(known.medium, known.address), known.userId);
      },
    },
    {
      name: 'gives null for an address that it does not know, and does not reject',
      check: async () => {
        for (const address of [`x${known.address}`, '', '%', 'no-such-address@example.invalid', '0'])
          strictEqual(await directory.find(known.medium, address), null, `found ${JSON.stringify(address)}`);
      },
    },
    {
      name: 'gives null for an address of another medium, and for a medium that it does not know',
      check: async () => {
        for (const medium of [other, 'fax']) strictEqual(await directory.find(medium, known.address), null);
      },
    },
  ];
}

/** What the contract needs to know about an implementation of {@link SharedRooms}. */
export interface SharedRoomsSample {
  readonly rooms: SharedRooms;
  /** A user, and a time span in which that user began to share a room with `beganWith`. */
  readonly userId: string;
  readonly from: Date;
  readonly to: Date;
  readonly beganWith: string;
}

/**
 * What the service expects of {@link SharedRooms}.
 *
 * @example
 * ```ts
 * for (const { name, check } of sharedRoomsContract({ rooms, userId, from, to, beganWith })) it(name, check);
 * ```
 */
export function sharedRoomsContract(sample: SharedRoomsSample): readonly ContractCheck[] {
  const { rooms, userId, from, to, beganWith } = sample;
  return [
    {
      name: 'names who began to share a room in the span, among those who share one at its end',
      check: async () => {
        const { sharing, began } = await rooms.inSpan(userId, from, to);
        ok(began.includes(beganWith), `${beganWith} is not among those that began`);
        for (const one of began)
          ok(sharing.includes(one), `${one} began, and does not share a room at the end`);
      },
    },
    {
      name: 'names nobody both as sharing a room and as having ended to',
      check: async () => {
        const { sharing, ended } = await rooms.inSpan(userId, from, to);
        for (const one of ended) ok(!sharing.includes(one), `${one} ended, and shares a room at the end`);
      },
    },
    {
      name: 'has no changes in an empty span',
      check: async () => {
        const { began, ended } = await rooms.inSpan(userId, to, to);
        strictEqual([...began, ...ended].length, 0);
      },
    },
    {
      name: 'knows nothing of a user who is not there, and does not reject',
      check: async () => {
        const { sharing, began, ended } = await rooms.inSpan('@nobody-at-all:localhost', from, to);
        strictEqual([...sharing, ...began, ...ended].length, 0);
      },
    },
  ];
}

/** What the contract needs to know about an implementation of {@link PasswordPolicy}. */
export interface PasswordPolicySample {
  readonly policy: PasswordPolicy;
  readonly strong: string;
  readonly weak: string;
}

/**
 * What the service expects of a {@link PasswordPolicy}.
 *
 * @example
 * ```ts
 * const sample = { policy, strong: 'eleven brown bears at dawn', weak: 'password' };
 * for (const { name, check } of passwordPolicyContract(sample)) it(name, check);
 * ```
 */
export function passwordPolicyContract(sample: PasswordPolicySample): readonly ContractCheck[] {
  const { policy, strong, weak } = sample;
  return [
    {
      name: 'accepts a strong password, with and without a user',
      check: async () => {
        for (const userId of ['@ann:localhost', '']) strictEqual(await policy.weakness(strong, userId), null);
      },
    },
    {
      name: 'says in words why a password is too weak',
      check: async () => {
        const reason = await policy.weakness(weak, '@ann:localhost');
        ok(typeof reason === 'string' && reason.trim() !== '', 'there is no reason to read');
      },
    },
    {
      name: 'rejects for no password',
      check: async () => {
        for (const password of ODD_PASSWORDS) await policy.weakness(password, '@ann:localhost');
      },
    },
  ];
}
