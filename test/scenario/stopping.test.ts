import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { V3 } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { ServiceProcess } from '../support/service-process.js';

let dataDir: string;

beforeAll(async () => {
  dataDir = await temporaryDirectory();
});
afterAll(() => rm(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 }));

/** The answer to a request on a keep-alive connection. */
interface Answer {
  readonly status: number;
  readonly connection: string | undefined;
}

function call(agent: Agent, url: string, token: string, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      url,
      { agent, method, headers: { Authorization: `Bearer ${token}` } },
      (response) => {
        response.resume();
        response.once('end', () =>
          resolve({ status: response.statusCode!, connection: response.headers.connection }),
        );
        response.once('error', reject);
      },
    );
    request.once('error', reject);
    request.end();
  });
}

describe('A service that is stopped under load', () => {
  it('answers accepted requests, once more on each connection, and exits with 0', async () => {
    const service = await ServiceProcess.start({ DATA_DIR: dataDir });
    const sessions = await Promise.all(Array.from({ length: 60 }, () => service.matrix.register()));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const reader = sessions[0]!;
    const answers: Answer[] = [];
    const lost: string[] = [];
    let isStopping = false;
    /** A client that uses one connection until the service closes it. */
    const client = async () => {
      const own = new Agent({ keepAlive: true, maxSockets: 1 });
      for (;;) {
        try {
          const answer = await call(own, `${service.url}${V3}/account/whoami`, reader.accessToken);
          answers.push(answer);
          if (answer.connection === 'close') break;
        } catch (error) {
          const { code } = error as { code?: string };
          // The service no longer listens, so no accepted request was lost.
          if (!(isStopping && code === 'ECONNREFUSED')) lost.push(String(error));
          break;
        }
      }
      own.destroy();
    };
    const clients = Array.from({ length: 20 }, client);
    await sleep(300);
    const logouts = sessions.slice(1).map(async ({ accessToken }) => {
      try {
        return (await call(agent, `${service.url}${V3}/logout`, accessToken, 'POST')).status;
      } catch (error) {
        return (error as { code?: string }).code;
      }
    });
    isStopping = true;
    const code = service.stop();
    await Promise.all(clients);
    expect(lost).toEqual([]);
    expect(answers.length).toBeGreaterThan(20);
    for (const { status } of answers) expect(status).toBe(200);
    expect(answers.filter(({ connection }) => connection === 'close').length).toBeGreaterThanOrEqual(19);
    // Each request was answered, or never accepted.
    for (const outcome of await Promise.all(logouts)) expect([200, 'ECONNREFUSED']).toContain(outcome);
    agent.destroy();
    expect(await code).toBe(0);
    expect(service.words).not.toContain('were cut');
  }, 60_000);

  it('finishes requests that it has started, and writes pending last-seen times', async () => {
    const service = await ServiceProcess.start({ DATA_DIR: dataDir, LAST_SEEN_INTERVAL: '1h' });
    const session = await service.matrix.register();
    await service.matrix.whoami(session);
    const logins = Array.from({ length: 6 }, () =>
      service.http
        .post(`${V3}/login`)
        .send({ type: 'm.login.password', user: session.userId, password: 'correct horse battery staple' })
        .then(({ status }) => status),
    );
    await sleep(50);
    const code = service.stop();
    expect(new Set(await Promise.all(logins))).toEqual(new Set([200]));
    expect(await code).toBe(0);
    const again = await ServiceProcess.start({ DATA_DIR: dataDir });
    const { body } = await again.matrix.call(session, 'get', '/devices').expect(200);
    const own = body.devices.find(({ device_id }: { device_id: string }) => device_id === session.deviceId);
    expect(own.last_seen_ts).toEqual(expect.any(Number));
    expect(await again.stop()).toBe(0);
  }, 60_000);

  it('does not wait for connections that are idle or have sent nothing', async () => {
    const service = await ServiceProcess.start({ DATA_DIR: dataDir });
    const agent = new Agent({ keepAlive: true });
    expect((await call(agent, `${service.url}/_matrix/client/versions`, 'x')).status).toBe(200);
    const silent = connect(Number(new URL(service.url).port), '127.0.0.1');
    await once(silent, 'connect');
    expect(await service.stop()).toBe(0);
    expect(service.words).not.toContain('were cut');
    agent.destroy();
    silent.destroy();
  }, 60_000);

  it('logs that it had to cut a request that does not end', async () => {
    const service = await ServiceProcess.start({ DATA_DIR: dataDir });
    const slow = connect(Number(new URL(service.url).port), '127.0.0.1').on('error', () => {});
    slow.write(`POST ${V3}/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{`);
    await sleep(200);
    expect(await service.stop()).toBe(0);
    expect(service.words).toContain('were cut');
  }, 60_000);
});
