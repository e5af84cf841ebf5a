import { Controller, Get, Injectable, Logger, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApplication } from '../../src/application.js';
import { Public } from '../../src/auth/auth.decorators.js';
import { ServiceLogger } from '../../src/observability/service-logger.js';
import { V3 } from '../../src/testing/matrix-client.js';
import { CapturedLog } from '../support/captured-log.js';
import { SecretWatch } from '../support/secret-watch.js';
import { freePort } from '../support/service-process.js';
import { TestApp } from '../support/test-app.js';

@Injectable()
@Controller('_acme')
class BrokenController {
  @Public()
  @Get('broken')
  broken(): never {
    throw new Error('The reason');
  }
}

@Module({ controllers: [BrokenController] })
class BrokenModule {}

const log = new CapturedLog();
let app: TestApp;
let metricsPort: number;
let logger: ServiceLogger;

beforeAll(async () => {
  metricsPort = await freePort();
  logger = await log.open('info');
  app = await TestApp.start({
    extensions: [BrokenModule],
    createApp: (composition) => createApplication(composition, logger),
    variables: { TRUST_PROXY: '1', METRICS_PORT: String(metricsPort) },
  });
});
afterAll(() => app?.stop());

/** The line about the last request. */
async function lastLine() {
  const before = log.lines('Request').length;
  // It is written when the answer has left, which a client may notice earlier.
  for (let turn = 0; turn < 100 && log.lines('Request').length === before; turn += 1)
    await new Promise((resolve) => setTimeout(resolve, 2));
  return log.lines('Request').at(-1)!;
}

describe('The line of a request', () => {
  it('does not show a registration token, whatever route there is', async () => {
    const path = '/_session/v1/admin/registration_tokens/a-secret-token';
    for (const [method, more, status] of [
      ['patch', '', 405],
      ['delete', '/', 404],
      ['get', '', 401],
    ] as const) {
      await app.http[method](path + more).expect(status);
      expect(JSON.stringify(await lastLine())).not.toContain('a-secret-token');
    }
  });

  it('names route, status, duration, user, device and the ID that the answer carries', async () => {
    const session = await app.matrix.register();
    const answer = await app.matrix.call(session, 'get', '/account/whoami').expect(200);
    const line = await lastLine();
    expect(line).toMatchObject({
      level: 'info',
      method: 'GET',
      route: `${V3}/account/whoami`,
      status: 200,
      user_id: session.userId,
      device_id: session.deviceId,
      request_id: answer.headers['x-request-id'],
    });
    expect(line['duration_ms']).toBeGreaterThan(0);
    expect(line['request_id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('has no query: what no route handles is named by its path alone', async () => {
    await app.http.get('/somewhere?access_token=very-secret').expect(404);
    const line = await lastLine();
    expect(line).toMatchObject({ route: null, status: 404 });
    expect(line.message).toContain('GET /somewhere 404');
    expect(log.text).not.toContain('very-secret');
  });

  it('has the ID of a trusted proxy, if it looks like one', async () => {
    const ask = async (id: string) => {
      const answer = await app.http.get('/health/live').set('X-Request-Id', id).expect(200);
      return answer.headers['x-request-id'];
    };
    expect(await ask('proxy-4711')).toBe('proxy-4711');
    for (const wrong of ['a b', 'x'.repeat(129), '{"level":"fatal"}'])
      expect(await ask(wrong)).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('is left out for health checks, which come every second', async () => {
    const before = log.lines('Request').length;
    await app.http.get('/health/ready').expect(200);
    await app.http.get('/_matrix/client/versions').expect(200);
    await lastLine();
    expect(log.lines('Request').slice(before)).toHaveLength(1);
  });
});

describe('A 500', () => {
  it('carries an errorId under which the log has the stack', async () => {
    const { body, headers } = await app.http.get('/_acme/broken').expect(500);
    expect(body).toEqual({
      errcode: 'M_UNKNOWN',
      error: 'Internal server error',
      errorId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    const line = log.lines('MatrixExceptionFilter').at(-1)!;
    expect(line.level).toBe('error');
    expect(line.message).toContain(`errorId ${body.errorId}, request ${headers['x-request-id']}`);
    expect(line['stack']).toContain('Error: The reason\n    at ');
  });
});

describe('The level', () => {
  const level = (body?: unknown) =>
    fetch(`http://127.0.0.1:${metricsPort}/log-level`, {
      method: body === undefined ? 'GET' : 'PUT',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  it('can be set at the management port', async () => {
    expect(await (await level()).json()).toEqual({ level: 'info' });
    expect(await (await level({ level: 'warn' })).json()).toEqual({ level: 'warn' });
    new Logger('Test').log('Not this one');
    expect(await (await level({ level: 'info' })).json()).toEqual({ level: 'info' });
    new Logger('Test').log('But this one');
    expect(log.lines('Test').map(({ message }) => message)).toEqual(['But this one']);
  });

  it('stays as it is if the new one does not exist', async () => {
    for (const wrong of [{ level: 'loud' }, {}, null, 'x'.repeat(20_000)]) {
      const answer = await level(wrong);
      expect([answer.status, await answer.json()]).toEqual([
        400,
        { error: 'level must be one of fatal, error, warn, info, debug, trace' },
      ]);
    }
    expect(logger.level).toBe('info');
  });

  it('is debug after SIGUSR2, and as before after the next', async () => {
    process.emit('SIGUSR2');
    expect(logger.level).toBe('debug');
    process.emit('SIGUSR2');
    expect(logger.level).toBe('info');
  });
});

describe('The watch over secrets in the logs of all tests', () => {
  it('finds what was sent or got, wherever it is in a line', () => {
    const watch = new SecretWatch();
    const request = {
      headers: { authorization: 'Bearer mxa_sent-token', cookie: 'session=of-a-browser' },
      url: '/x?access_token=of-a-query',
      body: { auth: { password: 'correct horse, battery' } },
    };
    const response = { getHeader: () => undefined };
    watch.look(request as never, response as never, '{"refresh_token":"mxr_got.token","user_id":"@a:b"}');
    expect(watch.seen.size).toBe(5);
    watch.log.text = [
      'x=mxa_sent-token;',
      '"of-a-browser"',
      '?of-a-query&',
      'horse correct horse, battery.',
    ].join('\n');
    expect(watch.leaks().map((leak) => leak.split(' is in ')[0])).toEqual([
      'mxa_sent-token',
      'of-a-browser',
      'of-a-query',
      'correct horse, battery',
    ]);
  });
});
