import { afterAll, beforeAll, describe, it } from 'vitest';
import { Seed, SERVER_NAME, type SeededSession } from '../../bench/seed.js';
import { PASSWORD, someKeys } from '../../src/testing/matrix-client.js';
import { conclude } from './support/attack.js';
import { trials } from './support/form.js';
import { Invariants } from './support/invariants.js';
import { type Held, Ledger } from './support/ledger.js';
import { Stage } from './support/stage.js';
import { type Answer, Wire } from './support/wire.js';

const NODES = 3;
const AT_ONCE = 12;

/** Does the same for all, some at a time. */
async function forAll<T>(all: readonly T[], work: (one: T, at: number) => Promise<void>): Promise<void> {
  const rest = all.entries();
  const worker = async () => {
    for (const [at, one] of rest) await work(one, at);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

describe('Three nodes on one PostgreSQL:', () => {
  let stage: Stage;
  let wires: Wire[];
  let seed: Seed;
  beforeAll(async () => {
    stage = await Stage.set(NODES, { SERVER_NAME });
    wires = stage.ports.map((_, at) => new Wire(() => stage.urlOf(at), []));
    seed = await Seed.open({ url: stage.postgres.url });
  });
  afterAll(async () => {
    await seed?.client.end();
    await Promise.all((wires ?? []).map((wire) => wire.close()));
    await stage?.clear();
  });

  const on = (nth: number) => wires[nth % NODES]!;
  /** What the wires and the database say, when all is over. */
  const violationsOf = async (ledger: Ledger) => {
    const anywhere = new Wire(stage.anyNode, []);
    const found = await new Invariants(seed.client, anywhere, stage.listener).violationsOf(
      ledger,
      stage.allWords(),
    );
    await anywhere.close();
    return [...found, ...wires.flatMap((wire) => wire.violations.splice(0))];
  };
  const holdSeeded = (ledger: Ledger, { userId, deviceId, access, refresh }: SeededSession): Held => {
    // Nobody was told of its beginning, as there was no login.
    stage.listener.began.add(`${userId} ${deviceId}`);
    const tokens = { access_token: access.token, refresh_token: refresh.token };
    return ledger.begin({ user_id: userId, device_id: deviceId, ...tokens });
  };

  it('a token that one has logged out, shown to the others from the moment of the 200', async (context) => {
    const ledger = new Ledger();
    const sessions = await seed.sessions(trials(10_000, 500), 2);
    await forAll(sessions, async (session, at) => {
      const held = holdSeeded(ledger, session);
      const token = held.access;
      const answer = await on(at).send('POST', '/logout', { token });
      if (answer?.status !== 200) ledger.violations.push(`a logout got ${answer?.status}`);
      held.fate = 'ended';
      const others = [on(at + 1), on(at + 2)];
      const looks = await Promise.all(others.map((other) => other.send('GET', '/account/whoami', { token })));
      for (const look of looks)
        if (look?.status !== 401)
          ledger.violations.push(`a dead token got ${look?.status} from another node`);
    });
    const violations = await violationsOf(ledger);
    conclude(context, { trials: sessions.length, of: 'logouts', violations, memoryMb: await stage.peakMb() });
  });

  it('refresh, upload, claim and logout of one device at once, on different nodes', async (context) => {
    const ledger = new Ledger();
    const [claimer, ...sessions] = await seed.sessions(trials(10_000, 300) + 1, 2);
    await forAll(sessions, async (session, at) => {
      const held = holdSeeded(ledger, session);
      const token = held.access;
      const { fallback_keys: _, ...keys } = someKeys({ ...held, accessToken: '' }, 2);
      const wanted = { one_time_keys: { [held.userId]: { [held.deviceId]: 'signed_curve25519' } } };
      const claim = (node: number) =>
        on(at + node).send('POST', '/keys/claim', { token: claimer!.access.token, body: wanted });
      const [refreshed, , first, second, ended] = await Promise.all([
        on(at).send('POST', '/refresh', { body: { refresh_token: held.refresh } }),
        on(at + 1).send('POST', '/keys/upload', { token, body: keys }),
        claim(at),
        claim(at + 1),
        on(at + 2).send('POST', '/logout', { token }),
      ]);
      for (const claimed of [first, second])
        for (const keyId of keysIn(claimed, held)) ledger.claim(held, keyId);
      if (ended?.status !== 200) ledger.violations.push(`a logout got ${ended?.status}`);
      held.fate = 'ended';
      if (refreshed?.status === 200) held.access = String(refreshed.body['access_token']);
      // Nobody has told these two nodes.
      const looks = await Promise.all(
        [token, held.access].map((one, nth) => on(at + nth).send('GET', '/account/whoami', { token: one })),
      );
      if (looks.some((look) => look?.status !== 401)) ledger.violations.push('a token survived its logout');
    });
    const violations = await violationsOf(ledger);
    conclude(context, { trials: sessions.length, of: 'races', violations, memoryMb: await stage.peakMb() });
  });

  it('two logins and a logout of one device at once, on different nodes', async (context) => {
    const ledger = new Ledger();
    ledger.keepSecret(PASSWORD);
    const rounds = Array.from({ length: trials(1_000, 40) }, (_, at) => `racer${at}`);
    await forAll(rounds, async (user, at) => {
      const account = {
        username: user,
        password: PASSWORD,
        auth: { type: 'm.login.dummy' },
        inhibit_login: true,
      };
      await on(at).send('POST', '/register', { body: account });
      const identifier = { type: 'm.id.user', user };
      const body = {
        type: 'm.login.password',
        identifier,
        password: PASSWORD,
        device_id: 'RACE',
        refresh_token: true,
      };
      const login = (node: number) => on(at + node).send('POST', '/login', { body });
      const first = ledger.begin((await login(0))!.body);
      // A client that logs in again has a session in place of the first; the last one stays, or none.
      const [one, other, ended] = await Promise.all([
        login(0),
        login(1),
        on(at + 2).send('POST', '/logout', { token: first.access }),
      ]);
      ledger.sessions.splice(ledger.sessions.indexOf(first), 1);
      const tokens = [first.access, ...[one, other].map((answer) => String(answer?.body['access_token']))];
      ledger.keepSecret(...tokens);
      const looks = await Promise.all(
        tokens.map((token) => on(at).send('GET', '/account/whoami', { token })),
      );
      const alive = looks.filter((look) => look?.status === 200).length;
      if (looks[0]?.status === 200) ledger.violations.push('a session that was ended or replaced is alive');
      // The logout found the first session: then both logins came later, or it ended what the logins made.
      if (ended?.status === 401 && alive !== 1)
        ledger.violations.push(`${alive} sessions instead of the last login`);
      if (alive > 1) ledger.violations.push(`${alive} sessions on one device`);
    });
    const violations = await violationsOf(ledger);
    conclude(context, { trials: rounds.length, of: 'races', violations, memoryMb: await stage.peakMb() });
  });
});

function keysIn(claimed: Answer | null, { userId, deviceId }: Held): string[] {
  const keys = claimed?.body['one_time_keys'] as Record<string, Record<string, object>> | undefined;
  return Object.keys(keys?.[userId]?.[deviceId] ?? {}).filter((keyId) => !keyId.endsWith(':F'));
}
