import { Controller, Get, Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import request from 'supertest';
import { describe, expect, it } from 'vitest';
import {
  AppModule,
  Environment,
  type Flow,
  type GuardedCall,
  LoginFlow,
  LoginFlows,
  MatrixError,
  matrixExpress,
  PasswordVerifier,
  Public,
  UiaFlows,
  UiaStage,
  UiaStages,
} from '../../src/index.js';
import { PASSWORD, passwordOf, V3 } from '../../src/testing/index.js';
import { createDatabase } from '../support/database.js';
import { useApp } from '../support/test-app.js';

/** Verifies the passwords of two users that are kept elsewhere. */
class Directory extends PasswordVerifier {
  private readonly passwords = new Map([
    ['@anna:localhost', 'in the directory'],
    ['@ben:localhost', 'in the directory, too'],
  ]);

  async keeps(userId: string): Promise<boolean> {
    return this.passwords.has(userId);
  }

  async verify(userId: string, password: string): Promise<boolean> {
    return this.passwords.get(userId) === password;
  }
}

@Injectable()
class BadgeLogin extends LoginFlow implements OnModuleInit {
  readonly type = 'org.example.badge';
  override readonly details = { colour: 'green' };

  constructor(private readonly flows: LoginFlows) {
    super();
  }

  onModuleInit(): void {
    this.flows.add(this);
  }

  async prove({ badge }: Readonly<Record<string, unknown>>): Promise<string> {
    if (typeof badge !== 'string') throw MatrixError.missingParam('badge');
    if (badge === 'forged') throw MatrixError.forbidden('This badge is forged');
    return `@${badge}:localhost`;
  }
}

@Injectable()
class NodStage extends UiaStage implements OnModuleInit {
  readonly type = 'org.example.nod';

  constructor(private readonly stages: UiaStages) {
    super();
  }

  onModuleInit(): void {
    this.stages.add(this);
  }

  async attempt({ auth: { nod } }: { auth: Readonly<Record<string, unknown>> }): Promise<null> {
    if (nod !== true) throw MatrixError.forbidden('Nod first');
    return null;
  }
}

class NodBeforeDeletion extends UiaFlows {
  flowsOf({ name }: GuardedCall, own: readonly Flow[]): readonly Flow[] {
    return name === 'POST /delete_devices' ? own.map((flow) => ['org.example.nod', ...flow]) : own;
  }
}

@Module({ providers: [BadgeLogin, NodStage] })
class TeamModule {}

const app = useApp({
  extensions: [TeamModule],
  passwordVerifier: new Directory(),
  uiaFlows: new NodBeforeDeletion(),
  variables: { RATE_LIMITS: 'on', RATE_LIMIT_LOGIN_FAILED_ADDRESS: '6/10m' },
});
const login = (body: object) => app().http.post(`${V3}/login`).send(body);

describe('A password that is kept elsewhere', () => {
  it('works at the first login, which creates the account, and in interactive authentication', async () => {
    const anna = await app().matrix.login('anna', { password: 'in the directory' });
    expect(anna.userId).toBe('@anna:localhost');
    const again = await app().matrix.login('@anna:localhost', { password: 'in the directory' });
    const challenge = await app()
      .matrix.call(anna, 'delete', `/devices/${again.deviceId}`)
      .send({ auth: { ...passwordOf(anna, 'in the directory') } });
    expect(challenge.status).toBe(200);
  });

  it('is refused if it is wrong, and creates no account', async () => {
    const identifier = { type: 'm.id.user', user: 'ben' };
    await login({ type: 'm.login.password', identifier, password: PASSWORD }).expect(403);
    const [row] = await app().sql(`SELECT count(*)::int FROM accounts WHERE user_id = '@ben:localhost'`);
    expect(row).toEqual({ count: 0 });
  });

  it('reserves the name, so that nobody else can register it', async () => {
    const answer = await app().http.get(`${V3}/register/available`).query({ username: 'ben' }).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_USER_IN_USE' });
  });

  it('cannot be changed here', async () => {
    const anna = await app().matrix.login('anna', { password: 'in the directory' });
    const auth = passwordOf(anna, 'in the directory');
    const change = { new_password: 'a quite different phrase', auth };
    const answer = await app().matrix.call(anna, 'post', '/account/password').send(change).expect(403);
    expect(answer.body).toMatchObject({
      errcode: 'M_FORBIDDEN',
      error: expect.stringContaining('kept elsewhere'),
    });
    await app().http.post(`${V3}/account/password`).send(change).expect(403);
  });

  it('does not affect other users', async () => {
    const { userId } = await app().matrix.register();
    expect(await app().matrix.login(userId)).toMatchObject({ userId });
  });
});

describe("A team's own type of login", () => {
  it('is listed, starts a session, and creates the account', async () => {
    const { flows } = (await app().http.get(`${V3}/login`).expect(200)).body;
    expect(flows).toContainEqual({ type: 'org.example.badge', colour: 'green' });
    const answer = await login({ type: 'org.example.badge', badge: 'carla', device_id: 'GATE' }).expect(200);
    expect(answer.body).toMatchObject({ user_id: '@carla:localhost', device_id: 'GATE' });
    await login({ type: 'org.example.badge', badge: 'carla' }).expect(200);
  });

  it('returns its own errors, and cannot create an invalid name', async () => {
    await login({ type: 'org.example.badge' }).expect(400);
    const answer = await login({ type: 'org.example.badge', badge: 'no such name' }).expect(403);
    expect(answer.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    for (const badge of ['12345', '_bridge']) {
      const refused = await login({ type: 'org.example.badge', badge }).expect(400);
      expect(refused.body).toMatchObject({ errcode: 'M_INVALID_USERNAME' });
    }
  });
});

describe('The login types of the service', () => {
  it.each(['m.login.password', 'm.login.token', 'm.login.application_service'])(
    'cannot be replaced: %s',
    (type) => {
      class Another extends LoginFlow {
        readonly type = type;
        prove = async () => '@a:localhost';
      }
      expect(() => app().nest.get(LoginFlows).add(new Another())).toThrow(type);
    },
  );
});

describe("A team's own stage", () => {
  it('is required where the team configures it', async () => {
    const phone = await app().matrix.register();
    const laptop = await app().matrix.register();
    const remove = (auth?: object) =>
      app()
        .matrix.call(phone, 'post', '/delete_devices')
        .send({ devices: [phone.deviceId], auth });
    const challenge = (await remove().expect(401)).body;
    expect(challenge.flows).toEqual([{ stages: ['org.example.nod', 'm.login.password'] }]);
    const { session } = challenge;
    // Stages may be completed in any order. A failed stage or a look at the session's state loses none of them.
    expect((await remove({ ...passwordOf(phone), session }).expect(401)).body).toMatchObject({
      completed: ['m.login.password'],
    });
    expect((await remove({ type: 'org.example.nod', session }).expect(401)).body).toMatchObject({
      errcode: 'M_FORBIDDEN',
      error: 'Nod first',
      completed: ['m.login.password'],
    });
    expect((await remove({ session }).expect(401)).body).toEqual({
      completed: ['m.login.password'],
      flows: challenge.flows,
      params: {},
      session,
    });
    await remove({ type: 'org.example.nod', nod: true, session }).expect(200);
    expect((await app().matrix.whoami(phone)).status).toBe(401);
    expect((await app().matrix.whoami(laptop)).status).toBe(200);
  });
});

describe("A guessed credential of a team's own login type", () => {
  it('is rate-limited like a password', async () => {
    for (let guess = 0; guess < 6; guess += 1) await login({ type: 'org.example.badge', badge: 'forged' });
    await login({ type: 'org.example.badge', badge: 'forged' }).expect(429);
  });
});

/** A provider of a team, with the data that the service needs. */
@Injectable()
class Vault {
  readonly serverName = 'async.example.org';
  readonly verifier = new Directory();
}

@Module({ providers: [Vault], exports: [Vault] })
class VaultModule {}

@Controller('/team')
@Public()
class TeamController {
  @Get()
  answer(): object {
    return { team: 'ours' };
  }
}

describe('An application of a team', () => {
  it('composes the service with its own providers', async () => {
    const database = await createDatabase();

    @Module({
      imports: [
        AppModule.forRootAsync({
          imports: [VaultModule],
          inject: [Vault],
          useFactory: async ({ serverName, verifier }: Vault) => ({
            environment: Environment.load({ SERVER_NAME: serverName, REGISTRATION: 'open' }),
            database: database.location,
            passwordVerifier: verifier,
          }),
        }),
      ],
      controllers: [TeamController],
    })
    class RootModule {}

    const root = await NestFactory.create<NestExpressApplication>(RootModule, matrixExpress(false), {
      bodyParser: false,
      logger: false,
    });
    await root.init();
    const http = request(root.getHttpServer());
    expect((await http.get('/team').expect(200)).body).toEqual({ team: 'ours' });
    const body = { username: 'dora', password: PASSWORD, auth: { type: 'm.login.dummy' } };
    const answer = await http.post(`${V3}/register`).send(body).expect(200);
    expect(answer.body).toMatchObject({ user_id: '@dora:async.example.org' });
    await root.close();
    await database.drop();
  });
});
