import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { PasswordHasher, PasswordQueueFull } from '../../src/system/password-hasher.js';
import { PASSWORD, V3 } from '../../src/testing/matrix-client.js';
import { useApp } from '../support/test-app.js';

const app = useApp({ variables: { PASSWORD_HASH_QUEUE: '100' } });

describe('A burst of two hundred logins', () => {
  it('leaves room for other requests, which finish first; excess logins are told to try again later', async () => {
    const session = await app().matrix.register();
    const finished: string[] = [];
    const login = async () => {
      const body = { type: 'm.login.password', user: session.userId, password: PASSWORD };
      const { status } = await app().http.post(`${V3}/login`).send(body);
      finished.push(`login ${status}`);
    };
    const hasher = app().nest.get(PasswordHasher);
    let atOnce = 0;
    const watch = setInterval(() => (atOnce = Math.max(atOnce, hasher.active)), 1);
    const storm = Promise.all(Array.from({ length: 200 }, login));
    // The burst has begun once its first login has finished.
    while (finished.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    for (let calls = 0; calls < 10; calls += 1) {
      expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
      finished.push('whoami');
    }
    await storm;
    clearInterval(watch);
    expect(atOnce).toBeGreaterThan(0);
    expect(atOnce).toBeLessThanOrEqual(Math.max(1, Math.floor(availableParallelism() / 2)));
    expect(finished.lastIndexOf('whoami')).toBeLessThan(finished.length - 20);
    const outcomes = new Set(finished);
    expect(outcomes).toContain('login 200');
    expect(
      [...outcomes].filter((outcome) => !['whoami', 'login 200', 'login 429'].includes(outcome)),
    ).toEqual([]);
  });
});

describe('The password hasher', () => {
  it('limits the number of waiting passwords, and refuses the rest at once', async () => {
    const hasher = new PasswordHasher({ memoryKib: 8_192, passes: 1, queue: 5 });
    const settled = await Promise.allSettled(Array.from({ length: 20 }, () => hasher.hash('x')));
    const refused = settled.filter((result) => result.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(settled.length - refused.length).toBeGreaterThanOrEqual(5);
    for (const { reason } of refused) expect(reason).toBeInstanceOf(PasswordQueueFull);
    await expect(hasher.hash('x')).resolves.toMatch(/^\$argon2id\$/);
  });
});
