import {
  Body,
  Controller,
  Get,
  Injectable,
  Logger,
  Module,
  type OnModuleInit,
  Param,
  Post,
  StreamableFile,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { DataSource } from 'typeorm';
import { describe, expect, it, vi } from 'vitest';
import {
  ApiMatrixError,
  AppModule,
  ClientController,
  ClientOrigin,
  type Composition,
  CurrentRequester,
  deviceColumns,
  DevicesDeleted,
  Environment,
  InTransaction,
  MatrixError,
  matrixExpress,
  MatrixPost,
  Metrics,
  type Origin,
  type OriginOf,
  type Part,
  PasswordVerifier,
  Public,
  RateLimiter,
  type Requester,
  requireServerAdmin,
  Sessions,
  SessionStarted,
  type Statement,
  type Tx,
} from '../../src/index.js';
import {
  type ClientSession,
  PASSWORD,
  passwordOf,
  someKeys,
  TestApp,
  uniqueUsername,
  V3,
} from '../../src/testing/index.js';
import { census, NOTHING, TestApp as CheckedApp, useApp } from '../support/test-app.js';

const PUT: Statement = { name: 'greetings_put', text: 'INSERT INTO greetings VALUES ($1, $2, $3)' };

class Greetings1764100000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE greetings (
        user_id text NOT NULL, device_id text NOT NULL, greeting text NOT NULL,
        FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE greetings');
  }
}

@Injectable()
class GreetingsListener {
  greeting: string | null = 'Hello';
  /** With what the latest session began. */
  userAgent: string | null = null;

  @InTransaction(SessionStarted)
  async onSessionStarted(event: SessionStarted, tx: Tx, originOf: OriginOf): Promise<void> {
    const { userId, deviceId } = event;
    this.userAgent = originOf(event)?.userAgent ?? null;
    await tx.query(PUT, [userId, deviceId, this.greeting]);
  }
}

@ClientController()
class ReportsController implements OnModuleInit {
  constructor(
    private readonly sessions: Sessions,
    private readonly environment: Environment,
    private readonly limiter: RateLimiter,
    private readonly metrics: Metrics,
  ) {}

  onModuleInit(): void {
    this.limiter.add({ name: 'acme.reports', points: 2, windowMs: 60_000 });
    this.metrics.addCounter({ name: 'acme_reports_total', help: 'Reports.', labelNames: ['kind'] });
    this.metrics.addGauge({ name: 'acme_open_reports', help: 'Open reports.' }, async () => [
      { labels: {}, value: 7 },
    ]);
  }

  @MatrixPost('report_stolen')
  @ApiMatrixError(404, 'The user has no such session.', ['M_NOT_FOUND'])
  async report(
    @CurrentRequester() { userId }: Requester,
    @Body('device_id') deviceId: string,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    await this.limiter.count('acme.reports', userId);
    this.metrics.count('acme_reports_total', { kind: 'stolen' });
    if (!(await this.sessions.end({ userId, deviceId }, { ...origin, actor: userId })))
      throw MatrixError.notFound('No such session');
    return {};
  }

  @Get('acme/sessions/:userId')
  async list(@CurrentRequester() requester: Requester, @Param('userId') userId: string): Promise<object> {
    requireServerAdmin(this.environment, requester);
    return this.sessions.list(userId);
  }
}

@Controller('acme')
@Public()
class AnswersController {
  @Get('string')
  string(): string {
    return 'plain "words"';
  }

  @Get('number')
  number(): number {
    return 7;
  }

  @Get('list')
  list(): string[] {
    return ['a'];
  }

  @Get('null')
  none(): null {
    return null;
  }

  @Get('nothing')
  nothing(): void {}

  @Post('file')
  file(): StreamableFile {
    return new StreamableFile(Buffer.from('bytes'));
  }
}

@Module({ controllers: [ReportsController, AnswersController], providers: [GreetingsListener] })
class AcmeModule {}

const TAKE: Statement = {
  name: 'greetings_take',
  text: `
    DELETE FROM greetings g USING unnest($1::text[], $2::text[]) AS gone (user_id, device_id)
    WHERE g.user_id = gone.user_id AND g.device_id = gone.device_id
    RETURNING g.greeting`,
};

@Injectable()
class FarewellsListener {
  readonly taken: unknown[] = [];

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices }: DevicesDeleted, tx: Tx): Promise<void> {
    this.taken.push(...(await tx.query(TAKE, deviceColumns(devices))));
  }
}

@Module({ providers: [GreetingsListener, FarewellsListener] })
class InnerModule {}

@Module({ imports: [InnerModule] })
class OuterModule {}

const COMPOSITION = { extensions: [AcmeModule], migrations: [Greetings1764100000000] };
const app = useApp({ ...COMPOSITION, variables: { SERVER_ADMINS: '@admin:localhost', RATE_LIMITS: 'off' } });

describe('A listener of SessionStarted', () => {
  it('finds the device, and can insert rows that reference it', async () => {
    const session = await app().matrix.register();
    const again = await app().matrix.login(session.userId, { device_id: session.deviceId });
    const rows = await app().sql('SELECT device_id FROM greetings WHERE user_id = $1', [session.userId]);
    expect(rows).toEqual([{ device_id: session.deviceId }, { device_id: again.deviceId }]);
    await app().matrix.logout(again).expect(200);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });

  it('tells listeners where the request came from', async () => {
    const session = await app().matrix.register();
    const login = { type: 'm.login.password', user: session.userId, password: PASSWORD };
    await app().http.post(`${V3}/login`).set('User-Agent', 'Fluffy/1.0').send(login).expect(200);
    expect(app().nest.get(GreetingsListener, { strict: false }).userAgent).toBe('Fluffy/1.0');
  });

  it('is named in the log when it fails, with the error of the database', async () => {
    const session = await app().matrix.register();
    const errors = vi.spyOn(Logger.prototype, 'error').mockImplementation(() => {});
    const listener = app().nest.get(GreetingsListener);
    listener.greeting = null;
    try {
      await expect(app().matrix.login(session.userId)).rejects.toThrow(/500/);
      expect(String(errors.mock.calls)).toMatch(
        /GreetingsListener\.onSessionStarted failed on session\.started[^]*Caused by: [^]*null value in column "greeting"/,
      );
    } finally {
      listener.greeting = 'Hello';
      errors.mockRestore();
    }
  });
});

const passwordLogin = (userId: string) => ({
  type: 'm.login.password',
  identifier: { type: 'm.id.user', user: userId },
  password: PASSWORD,
});
const registration = () => ({
  username: uniqueUsername(),
  password: PASSWORD,
  auth: { type: 'm.login.dummy' },
});

describe('A listener that hides the error of its own statement', () => {
  const BROKEN = { name: 'acme_broken', text: 'SELECT * FROM acme_nowhere' };
  const ways: [string, (tx: Tx) => unknown][] = [
    ['', (tx) => tx.query(BROKEN).catch(() => [])],
    [', and does not wait for it', (tx) => void tx.query(BROKEN).catch(() => [])],
    [', of the entity manager', (tx) => tx.manager.query(BROKEN.text).catch(() => [])],
    [
      ', of the entity manager, and does not wait for it',
      (tx) => void tx.manager.query(BROKEN.text).catch(() => []),
    ],
  ];

  /** Another, innocent listener, whose statement fails because the transaction is already aborted. */
  @Injectable()
  class Innocent {
    @InTransaction(DevicesDeleted)
    @InTransaction(SessionStarted)
    async onEither(_: DevicesDeleted | SessionStarted, tx: Tx): Promise<void> {
      await new Promise((resolve) => setTimeout(resolve, 20));
      await tx.query({ name: 'acme_innocent', text: 'SELECT 1' });
    }
  }

  @Injectable()
  class Culprit {
    hide: (tx: Tx) => unknown = () => {};

    @InTransaction(DevicesDeleted)
    @InTransaction(SessionStarted)
    async onEither(_: DevicesDeleted | SessionStarted, tx: Tx): Promise<void> {
      await this.hide(tx);
    }
  }

  @Module({ providers: [Innocent, Culprit] })
  class CulpritModule {}

  describe.each(ways)('is named in the log%s', (_, hide) => {
    const culprit = useApp({ extensions: [CulpritModule] });
    const logins: [string, (session: ClientSession) => Promise<{ status: number }>][] = [
      ['logout', async (session) => culprit().matrix.logout(session)],
      ['login', async ({ userId }) => culprit().http.post(`${V3}/login`).send(passwordLogin(userId))],
      ['registration', async () => culprit().http.post(`${V3}/register`).send(registration())],
      [
        'deletion of devices',
        async (session) => {
          const devices = [session.deviceId];
          const call = () => culprit().matrix.call(session, 'post', '/delete_devices');
          const { body } = await call().send({ devices });
          return call().send({ devices, auth: { ...passwordOf(session), session: body.session } });
        },
      ],
    ];

    it.each(logins)('by a %s', async (__, call) => {
      const session = await culprit().matrix.register();
      const errors = vi.spyOn(Logger.prototype, 'error').mockImplementation(() => {});
      const listener = culprit().nest.get(Culprit, { strict: false });
      listener.hide = hide;
      try {
        expect((await call(session)).status).toBe(500);
        expect(String(errors.mock.calls)).toMatch(
          /Culprit\.onEither (hid that its statement )?failed[^]*acme_nowhere/,
        );
        expect(String(errors.mock.calls)).not.toContain('Innocent');
      } finally {
        listener.hide = () => {};
        errors.mockRestore();
      }
    });
  });
});

describe('Listeners of a team', () => {
  const composition = { migrations: COMPOSITION.migrations };

  /** Starts and ends a session, and returns the rows that the listeners found for the device. */
  async function takenBy(one: TestApp): Promise<unknown[]> {
    const session = await one.matrix.register();
    await one.matrix.logout(session).expect(200);
    const { taken } = one.nest.get(FarewellsListener, { strict: false });
    await one.stop();
    return taken;
  }

  it('find the row of the device in a nested module', async () => {
    const one = await CheckedApp.start({ ...composition, extensions: [OuterModule] });
    expect(await takenBy(one)).toEqual([{ greeting: 'Hello' }]);
  });

  it.each(['before', 'after'])('find it if their module is imported %s the service', async (where) => {
    const createApp = (given: Composition) => {
      const service = AppModule.forRoot(given);
      const imports = where === 'before' ? [InnerModule, service] : [service, InnerModule];
      return NestFactory.create<NestExpressApplication>(
        { module: class Root {}, imports },
        matrixExpress(given.environment.trustProxy),
        { logger: false },
      );
    };
    const one = await TestApp.start({ ...composition, createApp });
    expect(await takenBy(one)).toEqual([{ greeting: 'Hello' }]);
  });
});

describe('Sessions', () => {
  const sessions = () => app().nest.get(Sessions);

  it('lists the sessions of a user, oldest first', async () => {
    const phone = await app().matrix.register({ initial_device_display_name: 'Phone' });
    app().clock.advance(1_000);
    const laptop = await app().matrix.login(phone.userId);
    expect(await app().matrix.whoami(phone)).toMatchObject({ status: 200 });
    const [first, second, ...others] = await sessions().list(phone.userId);
    expect(first).toMatchObject({ userId: phone.userId, deviceId: phone.deviceId, displayName: 'Phone' });
    expect(first!.lastSeenIp).toBe('127.0.0.1');
    expect(second).toMatchObject({ deviceId: laptop.deviceId, displayName: null });
    expect(second!.createdTs - first!.createdTs).toBeGreaterThanOrEqual(1_000);
    expect(others).toEqual([]);
    expect(await sessions().list('@nobody:localhost')).toEqual([]);
  });

  it('ends one, some, all but one, and all; unknown devices are ignored', async () => {
    const first = await app().matrix.register();
    const { userId } = first;
    const more: ClientSession[] = [];
    for (let nth = 0; nth < 5; nth += 1) more.push(await app().matrix.login(userId));
    const left = async () => (await sessions().list(userId)).map(({ deviceId }) => deviceId);
    const idOf = (nth: number) => more[nth]!.deviceId;

    expect(await sessions().end({ userId, deviceId: idOf(0) })).toBe(true);
    expect(await sessions().end({ userId, deviceId: idOf(0) })).toBe(false);
    expect(await app().matrix.whoami(more[0]!)).toMatchObject({ status: 401 });
    expect(await sessions().endSome(userId, [idOf(1), idOf(2), idOf(1), 'nothing', 'nu\0l'])).toBe(2);
    expect((await left()).toSorted()).toEqual([first.deviceId, idOf(3), idOf(4)].toSorted());
    await sessions().endAllBut({ userId, deviceId: idOf(3) });
    expect(await left()).toEqual([idOf(3)]);
    expect(await app().matrix.whoami(more[3]!)).toMatchObject({ status: 200 });
    await sessions().endAll(userId);
    await sessions().endAll(userId);
    expect(await left()).toEqual([]);
    expect(await app().matrix.whoami(more[3]!)).toMatchObject({ status: 401 });
    expect(await census(app(), userId)).toEqual(NOTHING);
  });

  it('records in the audit log who asked', async () => {
    const phone = await app().matrix.register();
    const laptop = await app().matrix.login(phone.userId);
    await app().matrix.call(phone, 'post', '/report_stolen').send({ device_id: laptop.deviceId }).expect(200);
    const [ended] = await app().sql(
      `SELECT * FROM audit_entries WHERE user_id = $1 AND device_id = $2 AND action = 'session_ended'`,
      [phone.userId, laptop.deviceId],
    );
    expect(JSON.stringify(ended)).toContain(`"${phone.userId}"`);
    expect(ended).toMatchObject({ reason: 'admin' });
    await app().matrix.call(phone, 'post', '/report_stolen').send({ device_id: laptop.deviceId }).expect(404);
  });

  it('are restricted to administrators by requireServerAdmin', async () => {
    const admin = await app().createUser('admin');
    const person = await app().matrix.register();
    const path = `/acme/sessions/${person.userId}`;
    await app().matrix.call(person, 'get', path).expect(403);
    const { body } = await app().matrix.call(admin, 'get', path).expect(200);
    expect(body).toMatchObject([{ deviceId: person.deviceId }]);
  });
});

describe('A module of a team', () => {
  it('can have its own limits and metrics', async () => {
    const metered = await CheckedApp.start({
      ...COMPOSITION,
      database: app().database,
      variables: { RATE_LIMITS: 'on', METRICS_PORT: '0' },
    });
    try {
      const phone = await metered.matrix.register();
      const report = () =>
        metered.matrix.call(phone, 'post', '/report_stolen').send({ device_id: 'nothing' });
      await report().expect(404);
      await report().expect(404);
      const { body } = await report().expect(429);
      expect(body).toMatchObject({ errcode: 'M_LIMIT_EXCEEDED' });
      const metrics = metered.nest.get(Metrics);
      const text = await metrics.text();
      expect(text).toContain('acme_reports_total{kind="stolen"} 2');
      expect(text).toContain('acme_open_reports 7');
      const limiter = metered.nest.get(RateLimiter);
      await expect(limiter.count('acme.reprots', 'x')).rejects.toThrow('acme.reprots');
      const add = (limit: object) => () =>
        limiter.add({ name: 'acme.other', points: 1, windowMs: 1_000, ...limit });
      expect(add({ name: 'acme.reports' })).toThrow('already');
      expect(add({ name: 'registration' as 'a.b' })).toThrow('registration');
      await expect(limiter.count('nothing' as 'a.b', 'x')).rejects.toThrow('nothing');
      expect(add({ windowMs: 0 })).toThrow('acme.other');
      expect(add({ points: 0 })).toThrow('acme.other');
    } finally {
      await metered.stop();
    }
  });

  it.each([
    ['string', '"plain \\"words\\""'],
    ['number', '7'],
    ['list', '["a"]'],
    ['null', 'null'],
  ])('answers a %s as JSON', async (path, text) => {
    const answer = await app().http.get(`/acme/${path}`).expect(200);
    expect(answer.headers['content-type']).toBe('application/json');
    expect(answer.text).toBe(text);
  });

  it('sends empty answers and files unchanged', async () => {
    expect((await app().http.get('/acme/nothing').expect(200)).text).toBe('');
    const file = await app().http.post('/acme/file').send({}).expect(201);
    expect(String(file.body)).toBe('bytes');
    expect(file.headers['content-type']).toBe('application/octet-stream');
  });
});

@Injectable()
class TablePasswords extends PasswordVerifier {
  constructor(private readonly database: DataSource) {
    super();
  }

  async keeps(userId: string): Promise<boolean> {
    return userId === '@tabled:localhost';
  }

  async verify(_: string, password: string): Promise<boolean> {
    const [row] = await this.database.query<{ right: boolean }[]>('SELECT $1 = $2 AS right', [
      password,
      'of the table',
    ]);
    return row!.right;
  }
}

describe('A port that is provided as a class', () => {
  it('is created by Nest, and can inject the database', async () => {
    const tabled = await CheckedApp.start({ passwordVerifier: TablePasswords });
    try {
      const login = (password: string) =>
        tabled.http
          .post(`${V3}/login`)
          .send({ type: 'm.login.password', identifier: { type: 'm.id.user', user: 'tabled' }, password });
      await login('of the table').expect(200);
      await login('another').expect(403);
    } finally {
      await tabled.stop();
    }
  });
});

@Injectable()
class CirclingPasswords extends TablePasswords {
  constructor(
    database: DataSource,
    readonly sessions: Sessions,
  ) {
    super(database);
  }
}

describe('A port that is provided as a class and has a circular dependency', () => {
  it('makes the start fail with an error of Nest', async () => {
    const start = TestApp.start({ passwordVerifier: CirclingPasswords, variables: { LOG_LEVEL: 'fatal' } });
    await expect(start).rejects.toThrow(/PasswordVerifier|CirclingPasswords|circular/i);
  });
});

describe('A part that is left out', () => {
  const start = (without: readonly Part[]) => CheckedApp.start({ database: app().database, without });
  const docs = async (one: TestApp) => (await one.http.get('/docs/openapi.json').expect(200)).body;

  it('has no routes, and is not shown in Swagger', async () => {
    const whole = await docs(app());
    expect(Object.keys(whole.paths)).toEqual(expect.arrayContaining(['/keys/upload', '/register']));
    expect(JSON.stringify(whole.paths['/login'])).toContain('m.login.password');
    const lean = await start(['keys', 'register', 'password-login']);
    try {
      const { paths, tags, components } = await docs(lean);
      expect(Object.keys(paths).filter((path) => /keys|register/.test(path))).toEqual([]);
      expect(JSON.stringify([paths['/login'], components.schemas.LoginDto])).not.toMatch(
        /m\.login\.password|"password"/,
      );
      expect(paths['/logout'].post.operationId).toBe('logout');
      expect(tags.map(({ name }: { name: string }) => name)).not.toContain('End-to-end encryption');
      for (const path of ['/register', '/keys/upload', '/keys/query', '/keys/device_signing/upload']) {
        const { body } = await lean.http.post(`${V3}${path}`).send({}).expect(404);
        expect(body).toMatchObject({ errcode: 'M_UNRECOGNIZED' });
      }
      await lean.http.get(`${V3}/register/available?username=a`).expect(404);
      const { body } = await lean.http.get(`${V3}/login`).expect(200);
      expect(body.flows.map(({ type }: { type: string }) => type)).toEqual([
        'm.login.token',
        'm.login.application_service',
      ]);
    } finally {
      await lean.stop();
    }
  });

  it('accepts no password, and its rows are still deleted with their device', async () => {
    const session = await app().matrix.register();
    const { userId } = session;
    await app().matrix.uploadKeys(session, someKeys(session, 5)).expect(200);
    const lean = await start(['keys', 'password-login']);
    try {
      const { body } = await lean.http
        .post(`${V3}/login`)
        .send({
          type: 'm.login.password',
          identifier: { type: 'm.id.user', user: userId },
          password: 'whatever it may be',
        })
        .expect(400);
      expect(body).toEqual({ errcode: 'M_UNKNOWN', error: 'Unknown login type' });
      await lean.nest.get(Sessions).endAll(userId);
      expect(await census(lean, userId)).toEqual(NOTHING);
    } finally {
      await lean.stop();
    }
  });

  it('must be a known part', () => {
    expect(() => AppModule.forRoot({ without: ['key' as Part] } as unknown as Composition)).toThrow(
      'There is no part key to leave out: there are keys, register, password-login',
    );
  });
});

@Module({})
class RootModule {
  static with(composition: Composition) {
    return {
      module: RootModule,
      imports: [AppModule.forRoot(composition)],
      controllers: [AnswersController],
    };
  }
}

describe('The testing kit', () => {
  it('starts a custom application', async () => {
    const own = await TestApp.start({
      createApp: (composition) =>
        NestFactory.create<NestExpressApplication>(
          RootModule.with(composition),
          matrixExpress(composition.environment.trustProxy),
          { logger: false },
        ),
    });
    try {
      await own.http.get('/acme/number').expect(200, '7');
      const session = await own.matrix.register();
      own.clock.advance(1_000);
      await own.matrix.logout(session).expect(200);
    } finally {
      await own.stop();
    }
  });

  it('prints the reason of a 500', async () => {
    const plain = await TestApp.start(COMPOSITION);
    const told: string[] = [];
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      told.push(String(text));
      return true;
    });
    try {
      plain.nest.get(GreetingsListener).greeting = null;
      await expect(plain.matrix.register()).rejects.toThrow(/500/);
      expect(told.join('')).toMatch(/POST \S+register failed[^]*GreetingsListener\.onSessionStarted failed/);
    } finally {
      write.mockRestore();
      await plain.stop();
    }
  });
});

describe.each(['0', ''])('Metrics with METRICS_PORT=%s', (METRICS_PORT) => {
  it('refuse an invalid name, label or number', async () => {
    const variables: Record<string, string> = METRICS_PORT === '' ? {} : { METRICS_PORT };
    const one = await CheckedApp.start({ variables });
    try {
      const metrics = one.nest.get(Metrics);
      metrics.addCounter({ name: 'acme_total', help: 'Of Acme.', labelNames: ['kind'] });
      metrics.count('acme_total', { kind: 'a' });
      metrics.addGauge({ name: 'acme_gauge', help: 'Of Acme.' }, async () => []);
      const wrong: (() => void)[] = [
        () => metrics.count('acme_totla'),
        () => metrics.count('acme_total', { knid: 'a' }),
        () => metrics.count('acme_total', { kind: 'a' }, -1),
        () => metrics.addCounter({ name: 'acme_total', help: '' }),
        () => metrics.addCounter({ name: 'acme_gauge', help: '' }),
        () => metrics.addGauge({ name: 'acme_gauge', help: '' }, async () => []),
        () => metrics.addCounter({ name: 'not a name', help: '' }),
        () => metrics.addGauge({ name: 'acme_other', help: '', labelNames: ['no label'] }, async () => []),
      ];
      for (const call of wrong) expect(call).toThrow(/acme|not a name|no label/);
    } finally {
      await one.stop();
    }
  });
});
