import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type ForwardedAnswer,
  Homeserver,
  type HomeserverDevice,
  HomeserverRefusal,
  MatrixError,
} from '../../src/index.js';
import { Repairs } from '../../src/homeserver/reconciliation/repairs.js';
import { OutboxWorker } from '../../src/outbox/outbox.worker.js';
import { ReconcilerService } from '../../src/reconciler/reconciler.service.js';
import {
  type ClientSession,
  PASSWORD,
  passwordOf,
  uniqueUsername,
  V3,
} from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { createDatabase } from '../support/database.js';
import { TestApp, useApp } from '../support/test-app.js';

/** A homeserver of a team, which remembers what it is told. */
class TownHall extends Homeserver {
  readonly told: string[] = [];
  /** The user of each device. */
  readonly devices = new Map<string, string>();
  readonly taken = new Set<string>();
  isWell = true;
  /** What it does before it obeys. */
  behave: (what: string) => Promise<void> = async () => {};

  override get isUp(): boolean {
    return this.isWell;
  }

  async requireFree(userId: string): Promise<void> {
    if (this.taken.has(userId)) throw new MatrixError(400, 'M_USER_IN_USE', 'This username is taken');
  }

  provision(userId: string): Promise<void> {
    return this.obey(`provision ${userId}`, () => this.taken.add(userId));
  }

  putDevice({ userId, deviceId, displayName }: HomeserverDevice): Promise<void> {
    return this.obey(`put ${deviceId} ${displayName}`, () => this.devices.set(deviceId, userId));
  }

  renameDevice({ deviceId, displayName }: HomeserverDevice): Promise<void> {
    return this.obey(`rename ${deviceId} ${displayName}`, () => {});
  }

  async deleteDevices(_: string, deviceIds: readonly string[]): Promise<void> {
    await this.obey(`delete ${deviceIds.toSorted().join()}`, () => {
      for (const deviceId of deviceIds) this.devices.delete(deviceId);
    });
  }

  deactivate(userId: string, erase: boolean): Promise<void> {
    return this.obey(`deactivate ${userId} ${erase}`, () => {});
  }

  reactivate(userId: string): Promise<void> {
    return this.obey(`reactivate ${userId}`, () => {});
  }

  restrict(userId: string, restriction: string, on: boolean): Promise<void> {
    return this.obey(`${restriction} ${userId} ${on}`, () => {});
  }

  async allowCrossSigningReset(): Promise<void> {}

  async forgetToken(): Promise<void> {
    this.told.push('forget');
  }

  async listDevices(userId: string): Promise<string[]> {
    return [...this.devices].filter(([, owner]) => owner === userId).map(([deviceId]) => deviceId);
  }

  async forward(): Promise<ForwardedAnswer> {
    return { status: 200, body: { capabilities: { 'org.example.townhall': { enabled: true } } } };
  }

  private async obey(what: string, change: () => void): Promise<void> {
    await this.behave(what);
    this.told.push(what);
    change();
  }
}

const SECRET = 'a-secret-that-only-the-homeserver-knows';
const variables = {
  HOMESERVER_SECRET: SECRET,
  HOMESERVER_LOGIN_WAIT: '500ms',
  HOMESERVER_LOGOUT_WAIT: '300ms',
  SERVER_ADMINS: '@admin:localhost',
};
const hall = new TownHall();
const app = useApp({ variables, homeserver: hall });

/**
 * What the homeserver is told meanwhile, without the second deletions of devices of earlier tests.
 * @param deviceIds the devices of this test
 */
const toldWhile = async (work: () => Promise<unknown>, ...deviceIds: string[]): Promise<string[]> => {
  const from = hall.told.length;
  await work();
  const isOther = (what: string) =>
    what.startsWith('delete') && !deviceIds.some((deviceId) => what.includes(deviceId));
  return hall.told.slice(from).filter((what) => !isOther(what));
};
const login = (userId: string, extra: object = {}) =>
  app()
    .http.post(`${V3}/login`)
    .send({
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: userId },
      password: PASSWORD,
      ...extra,
    });
const introspect = (token: string) =>
  app().http.post('/oauth2/introspect').set('Authorization', `Bearer ${SECRET}`).type('form').send({ token });
const misbehaving = async (behave: TownHall['behave'], work: () => Promise<unknown>) => {
  hall.behave = behave;
  try {
    await work();
  } finally {
    hall.behave = async () => {};
  }
};
const nothing = () => new Promise<void>(() => {});

describe('A homeserver of a team', () => {
  it('knows the user and the device when a registration is answered', async () => {
    const username = uniqueUsername();
    const told = await toldWhile(() =>
      app().matrix.register({ username, device_id: 'PHONE', initial_device_display_name: 'Phone' }),
    );
    expect(told).toEqual([`provision @${username}:localhost`, 'put PHONE Phone']);
  });

  it('has heard of every ending when it is answered, and of the dead token', async () => {
    const own = await app().matrix.register();
    const others = [await app().matrix.login(own.userId), await app().matrix.login(own.userId)];
    const [one, other] = others.map(({ deviceId }) => deviceId).toSorted() as [string, string];
    const told = await toldWhile(
      async () => {
        await app().matrix.call(own, 'put', `/devices/${one}`).send({ display_name: 'Kitchen' }).expect(200);
        await app()
          .matrix.call(own, 'post', '/delete_devices')
          .send({ devices: [one, other], auth: passwordOf(own) })
          .expect(200);
        await app().matrix.logout(own).expect(200);
      },
      own.deviceId,
      one,
      other,
    );
    expect(told).toEqual([
      `rename ${one} Kitchen`,
      `delete ${one},${other}`,
      `delete ${own.deviceId}`,
      'forget',
    ]);
  });

  it('is told of locks, suspensions and deactivations', async () => {
    const own = await app().matrix.register();
    const { accessToken } = await app().createUser('admin');
    const restrict = (what: string, body: object) =>
      app()
        .http.put(`/_matrix/client/v1/admin/${what}/${own.userId}`)
        .auth(accessToken, { type: 'bearer' })
        .send(body)
        .expect(200);
    const told = await toldWhile(async () => {
      await restrict('lock', { locked: true });
      await restrict('lock', { locked: false });
      await restrict('suspend', { suspended: true });
      await app()
        .matrix.call(own, 'post', '/account/deactivate')
        .send({ erase: true, auth: passwordOf(own) })
        .expect(200);
    });
    expect(told.slice(0, 4)).toEqual([
      `locked ${own.userId} true`,
      `locked ${own.userId} false`,
      `suspended ${own.userId} true`,
      `deactivate ${own.userId} true`,
    ]);
    expect(told).toContain('forget');
  });

  it('is asked what it can do', async () => {
    const own = await app().matrix.register();
    const { body } = await app().matrix.call(own, 'get', '/capabilities').expect(200);
    expect(body.capabilities).toMatchObject({
      'org.example.townhall': { enabled: true },
      'm.change_password': { enabled: true },
    });
  });
});

describe('A login that the homeserver', () => {
  it('does not hear of in time fails, and its session has ended', async () => {
    const own = await app().matrix.register();
    await misbehaving(nothing, async () => {
      const { body, headers } = await login(own.userId).expect(503);
      expect(body).toMatchObject({ errcode: 'M_UNKNOWN' });
      expect(headers['retry-after']).toBe('5');
      expect(await app().matrix.devices(own)).toHaveLength(1);
    });
  });

  it('cannot hear of at all fails before anything is written', async () => {
    const own = await app().matrix.register();
    hall.isWell = false;
    try {
      const told = await toldWhile(() => login(own.userId).expect(503));
      expect(told).toEqual([]);
      await app().matrix.logout(own).expect(200);
    } finally {
      hall.isWell = true;
    }
  });

  it('refuses is refused here, for the reason that it gives, and has ended', async () => {
    const own = await app().matrix.register();
    const refuse = (errcode: string) => async (what: string) => {
      if (what.startsWith('put')) throw new HomeserverRefusal(errcode, 'That is the ID of a key: no');
    };
    await misbehaving(refuse('M_FORBIDDEN'), async () => {
      const { body } = await login(own.userId).expect(403);
      expect(body).toEqual({ errcode: 'M_FORBIDDEN', error: 'That is the ID of a key: no' });
    });
    await misbehaving(refuse('M_INVALID_PARAM'), () => login(own.userId).expect(400));
    expect(await app().matrix.devices(own)).toHaveLength(1);
  });

  it('on a device that another login has just made waits until the homeserver knows the device', async () => {
    const own = await app().matrix.register();
    let release = () => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    let begin = () => {};
    const begun = new Promise<void>((resolve) => (begin = resolve));
    await misbehaving(
      () => {
        begin();
        return released;
      },
      async () => {
        let isAnswered = false;
        const first = login(own.userId, { device_id: 'TABLET' }).then(({ status }) => status);
        await begun;
        const second = login(own.userId, { device_id: 'TABLET' }).then(({ status }) => {
          isAnswered = true;
          return status;
        });
        await expect
          .poll(() =>
            app().sql(`SELECT FROM event_deliveries WHERE event = 'sessions.ended' AND state = 'pending'`),
          )
          .toHaveLength(1);
        expect(isAnswered).toBe(false);
        release();
        expect(await Promise.all([first, second])).toEqual([200, 200]);
      },
    );
    const told = await toldWhile(() => login(own.userId, { device_id: 'TABLET' }).expect(200));
    expect(told).toEqual([]);
  });

  it('on a device that another login could not make fails, too', async () => {
    const own = await app().matrix.register();
    await misbehaving(nothing, async () => {
      const both = [0, 1].map(() => login(own.userId, { device_id: 'NEVER' }).then(({ status }) => status));
      expect(await Promise.all(both)).toEqual([503, 503]);
    });
    expect(await app().matrix.devices(own)).toHaveLength(1);
  });
});

describe('A login on a known device', () => {
  it('succeeds while the homeserver is down and has not heard of a new name', async () => {
    const own = await app().matrix.register();
    hall.isWell = false;
    try {
      await misbehaving(
        async () => {
          throw new Error('Not now');
        },
        async () => {
          await app()
            .matrix.call(own, 'put', `/devices/${own.deviceId}`)
            .send({ display_name: 'Kitchen' })
            .expect(200);
          await login(own.userId, { device_id: own.deviceId }).expect(200);
        },
      );
    } finally {
      hall.isWell = true;
    }
  });
});

describe('A creation that an administrator replays', () => {
  it('makes no device that has ended meanwhile, and brings no deactivated user back', async () => {
    const own = await app().matrix.register();
    await misbehaving(
      async (what) => {
        if (what.startsWith('put')) throw new HomeserverRefusal('M_FORBIDDEN', 'No');
      },
      () => login(own.userId, { device_id: 'GHOST' }).expect(403),
    );
    await app()
      .matrix.call(own, 'post', '/account/deactivate')
      .send({ auth: passwordOf(own) })
      .expect(200);
    const admin = await app().matrix.login('@admin:localhost');
    const told = await toldWhile(async () => {
      const { body } = await app()
        .http.post('/_session/v1/admin/deliveries/homeserver/replay')
        .auth(admin.accessToken, { type: 'bearer' })
        .expect(200);
      expect(body.replayed).toBeGreaterThan(0);
      await app().drain();
    });
    expect(told.filter((what) => /^(put|provision)/.test(what))).toEqual([]);
  });
});

describe('A user whom somebody else has at the homeserver', () => {
  it('cannot be registered', async () => {
    const username = uniqueUsername();
    hall.taken.add(`@${username}:localhost`);
    const { body } = await app()
      .http.post(`${V3}/register`)
      .send({ username, password: PASSWORD, auth: { type: 'm.login.dummy' } })
      .expect(400);
    expect(body.errcode).toBe('M_USER_IN_USE');
    await app().http.get(`${V3}/register/available?username=${username}`).expect(400);
  });

  it('gets no session here, and nothing there is touched', async () => {
    hall.taken.add('@stranger:localhost');
    hall.devices.set('THEIRS', '@stranger:localhost');
    const told = await toldWhile(async () => {
      await expect(app().createUser('stranger')).rejects.toThrow();
      const { body } = await login('@stranger:localhost', { device_id: 'THEIRS' }).expect(403);
      expect(body.error).toContain('This username is taken');
    });
    expect(told).toEqual([]);
    expect(hall.devices.has('THEIRS')).toBe(true);
    const rows = await app().sql(`SELECT FROM devices WHERE user_id = '@stranger:localhost'`);
    expect(rows).toEqual([]);
  });

  it('stays somebody else when they get the name after it was refused here', async () => {
    await misbehaving(
      async (what) => {
        if (what.startsWith('provision')) throw new HomeserverRefusal('M_EXCLUSIVE', 'Not for you');
      },
      () => expect(app().createUser('refused')).rejects.toThrow(),
    );
    hall.taken.add('@refused:localhost');
    const told = await toldWhile(() => login('@refused:localhost').expect(403));
    expect(told).toEqual([]);
  });

  it('has no token that is active', async () => {
    const own = await app().matrix.register();
    expect((await introspect(own.accessToken).expect(200)).body).toMatchObject({ active: true });
    await app().sql('DELETE FROM homeserver_users WHERE user_id = $1', [own.userId]);
    const other = await TestApp.start({ variables, homeserver: hall, database: app().database });
    try {
      const { body } = await other.http
        .post('/oauth2/introspect')
        .set('Authorization', `Bearer ${SECRET}`)
        .type('form')
        .send({ token: own.accessToken })
        .expect(503);
      expect(body.error).toBe('temporarily_unavailable');
    } finally {
      await other.stop();
    }
  });

  it('may have the name of an application service, whose user is still not theirs', async () => {
    const database = await createDatabase();
    const before = await TestApp.start({ database });
    const person = await before.matrix.register({ username: 'irc_bob' });
    await before.stop();
    const file = join(await temporaryDirectory(), 'bridge.yaml');
    await writeFile(
      file,
      `id: bridge
as_token: as-token-of-the-bridge
hs_token: hs-token
sender_localpart: bridge
namespaces: { users: [{ exclusive: true, regex: '@irc_.*' }] }
`,
    );
    hall.taken.add(person.userId);
    const bridged = await TestApp.start({
      variables: { ...variables, APPSERVICE_FILES: file },
      homeserver: hall,
      database,
    });
    try {
      const told = await toldWhile(() =>
        bridged.http
          .post(`${V3}/login`)
          .send({
            type: 'm.login.password',
            identifier: { type: 'm.id.user', user: person.userId },
            password: PASSWORD,
          })
          .expect(403),
      );
      expect(told).toEqual([]);
    } finally {
      await bridged.stop();
      await database.drop();
    }
  });

  it('is the same person if the operator says so', async () => {
    const adopting = await TestApp.start({
      variables: { ...variables, HOMESERVER_ADOPT: 'on' },
      homeserver: hall,
      database: await createDatabase(),
    });
    try {
      hall.taken.add('@member:localhost');
      const session: ClientSession = await adopting.createUser('member');
      expect(hall.devices.has(session.deviceId)).toBe(true);
    } finally {
      await adopting.stop();
    }
  });
});

describe('A deletion', () => {
  it('is repeated some seconds later, once', async () => {
    const own = await app().matrix.register();
    await app().matrix.logout(own).expect(200);
    const told = await toldWhile(async () => {
      app().clock.advance(6_000);
      await expect.poll(() => hall.told.filter((what) => what.includes(own.deviceId))).toHaveLength(3);
      app().clock.advance(60_000);
      await app().drain();
    }, own.deviceId);
    expect(told.filter((what) => what.includes(own.deviceId))).toHaveLength(1);
  });

  it('is repeated before a new device of its ID is made, and not after', async () => {
    const own = await app().matrix.register({ device_id: 'REBORN' });
    await app().matrix.logout(own).expect(200);
    const told = await toldWhile(async () => {
      await login(own.userId, { device_id: 'REBORN' }).expect(200);
      app().clock.advance(6_000);
      await app().drain();
    }, 'REBORN');
    expect(told.filter((what) => what.includes('REBORN'))).toEqual(['delete REBORN', 'put REBORN null']);
  });

  it('is not repeated on a device that lives, even if the reconciler asked for it a moment ago', async () => {
    const own = await app().matrix.register({ device_id: 'LIVING' });
    const told = await toldWhile(async () => {
      await app()
        .nest.get(Repairs, { strict: false })
        .remove([{ userId: own.userId, deviceId: 'LIVING' }]);
      await app().drain();
    }, 'LIVING');
    expect(told).toEqual([]);
    await app().matrix.logout(own).expect(200);
  });

  it('that did not arrive comes before the new device of its ID', async () => {
    const own = await app().matrix.register({ device_id: 'AGAIN' });
    await misbehaving(
      async () => {
        throw new Error('Not now');
      },
      () => app().matrix.logout(own).expect(200),
    );
    const told = await toldWhile(() => login(own.userId, { device_id: 'AGAIN' }).expect(200), 'AGAIN');
    expect(told).toEqual(['delete AGAIN', 'delete AGAIN', 'put AGAIN null']);
  });

  it('that an administrator replays much later spares a device that was born since', async () => {
    const own = await app().matrix.register({ device_id: 'LATER' });
    await misbehaving(
      async (what) => {
        if (what.startsWith('delete')) throw new HomeserverRefusal('M_UNKNOWN', 'No');
      },
      () => app().matrix.logout(own).expect(200),
    );
    await login(own.userId, { device_id: 'LATER' }).expect(200);
    app().clock.advance(10 * 60_000);
    const admin = await app().matrix.login('@admin:localhost');
    const told = await toldWhile(async () => {
      const { body } = await app()
        .http.post('/_session/v1/admin/deliveries/homeserver/replay')
        .auth(admin.accessToken, { type: 'bearer' })
        .expect(200);
      expect(body.replayed).toBeGreaterThan(0);
      await app().drain();
    }, 'LATER');
    expect(told.filter((what) => what.includes('LATER'))).toEqual([]);
  });
});

describe('The reconciler', () => {
  it('introduces users who were here before there was a homeserver, with their devices', async () => {
    const database = await createDatabase();
    const before = await TestApp.start({ database });
    const own = await before.matrix.register({ initial_device_display_name: 'Phone' });
    await before.stop();
    const startWith = (mode: string) =>
      TestApp.start({
        variables: { ...variables, HOMESERVER_RECONCILE: mode },
        homeserver: hall,
        database,
      });
    for (const mode of ['dry_run', 'repair']) {
      const after = await startWith(mode);
      try {
        const told = await toldWhile(async () => {
          const findings = await after.nest.get(ReconcilerService).lookThrough(true);
          const repaired = mode === 'repair' ? 1 : 0;
          expect(findings).toMatchObject([{ problem: 'homeserver_users_missing', found: 1, repaired }]);
          await after.drain();
        });
        expect(told.filter((what) => !what.startsWith('delete'))).toEqual(
          mode === 'repair' ? [`provision ${own.userId}`, `put ${own.deviceId} Phone`] : [],
        );
        if (mode === 'repair') expect(await after.nest.get(ReconcilerService).lookThrough(true)).toEqual([]);
      } finally {
        await after.stop();
      }
    }
    await database.drop();
  });
});

describe('Two nodes', () => {
  it('wait for each other’s deliveries', async () => {
    const database = await createDatabase();
    const patient = { ...variables, EVENT_POLL_INTERVAL: '50ms', HOMESERVER_LOGIN_WAIT: '10s' };
    const one = await TestApp.start({ variables: patient, homeserver: hall, database });
    const other = await TestApp.start({ variables: patient, homeserver: new TownHall(), database });
    try {
      // The other node delivers nothing itself.
      await Promise.all(other.nest.get(OutboxWorker)['lanes'].map((lane) => lane.stop()));
      const session = await other.matrix.register();
      expect(hall.devices.has(session.deviceId)).toBe(true);
    } finally {
      await other.stop();
      await one.stop();
      await database.drop();
    }
  });
});
