import { describe, expect, it } from 'vitest';
import {
  ListPasswordPolicy,
  PasswordPolicy,
  PasswordVerifier,
  SharedRooms,
  ThreepidDirectory,
} from '../../src/index.js';
import {
  type ContractCheck,
  passwordPolicyContract,
  passwordVerifierContract,
  sharedRoomsContract,
  threepidDirectoryContract,
} from '../../src/testing/index.js';

const kept = { userId: '@ann:localhost', password: 'Right horse' };

class TablePasswords extends PasswordVerifier {
  constructor(private readonly accepts: (password: string) => boolean) {
    super();
  }

  async keeps(userId: string): Promise<boolean> {
    return userId === kept.userId;
  }

  async verify(_: string, password: string): Promise<boolean> {
    return this.accepts(password);
  }
}

class Table extends ThreepidDirectory {
  async find(medium: string, address: string): Promise<string | null> {
    return medium === 'email' && address === 'ann@example.org' ? kept.userId : null;
  }
}

class Rooms extends SharedRooms {
  async inSpan(userId: string, from: Date, to: Date) {
    if (userId !== kept.userId) return { sharing: [], began: [], ended: [] };
    const isSpan = from < to;
    return {
      sharing: ['@bob:localhost'],
      began: isSpan ? ['@bob:localhost'] : [],
      ended: isSpan ? ['@eve:x'] : [],
    };
  }
}

class LyingRooms extends SharedRooms {
  async inSpan() {
    return { sharing: ['@bob:localhost'], began: ['@bob:localhost', '@eve:x'], ended: ['@bob:localhost'] };
  }
}

class Policy extends PasswordPolicy {
  async weakness(password: string): Promise<string | null> {
    return password.length < 8 ? '' : null;
  }
}

const passwords = (accepts: (password: string) => boolean) =>
  passwordVerifierContract({ verifier: new TablePasswords(accepts), kept, unknownUserId: '@no:localhost' });
const span = { userId: kept.userId, from: new Date(0), to: new Date(1_000), beganWith: '@bob:localhost' };
const strong = 'eleven brown bears at dawn';

describe.each<[string, readonly ContractCheck[]]>([
  ['a password verifier', passwords((password) => password === kept.password)],
  [
    'a directory',
    threepidDirectoryContract({
      directory: new Table(),
      known: { medium: 'email', address: 'ann@example.org', userId: kept.userId },
    }),
  ],
  ['shared rooms', sharedRoomsContract({ rooms: new Rooms(), ...span })],
  [
    'a password policy',
    passwordPolicyContract({ policy: new ListPasswordPolicy(8), strong, weak: 'password' }),
  ],
])('The contract of %s', (_, checks) => {
  it.each(checks.map(({ name, check }) => [name, check] as const))('%s', async (__, check) => {
    await expect(check()).resolves.toBeUndefined();
  });
});

describe('A contract', () => {
  it.each<[string, readonly ContractCheck[], number]>([
    [
      'a verifier that ignores case',
      passwords((one) => one.toLowerCase() === kept.password.toLowerCase()),
      1,
    ],
    ['a verifier that says yes to all', passwords(() => true), 2],
    ['a verifier that says no to all', passwords(() => false), 2],
    ['rooms that contradict themselves', sharedRoomsContract({ rooms: new LyingRooms(), ...span }), 4],
    ['a policy without reasons', passwordPolicyContract({ policy: new Policy(), strong, weak: 'x' }), 1],
  ])('detects %s', async (_, checks, most) => {
    const outcomes = await Promise.allSettled(checks.map(({ check }) => check()));
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(most);
  });
});
