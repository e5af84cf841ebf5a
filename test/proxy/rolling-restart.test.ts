import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MatrixClient, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { Nginx } from '../support/nginx.js';
import { OwnPostgres } from '../support/own-postgres.js';
import { freePort, ServiceProcess } from '../support/service-process.js';

// Runs only if NGINX names the program, as in CI.
let postgres: OwnPostgres;
let nodes: ServiceProcess[] = [];
let nginx: Nginx;

const start = (port: number) =>
  ServiceProcess.start({ DATABASE_URL: postgres.url, PORT: String(port), TRUST_PROXY: 'loopback' });

beforeAll(async () => {
  postgres = await OwnPostgres.start();
  const ports = await Promise.all([freePort(), freePort(), freePort()]);
  for (const port of ports) nodes.push(await start(port));
  nginx = await Nginx.start(ports, await freePort());
}, 60_000);
afterAll(async () => {
  await nginx?.stop();
  for (const node of nodes) await node.stop('SIGKILL');
  await postgres?.stop();
});

describe('A rolling restart of three nodes behind nginx, under load', () => {
  it('fails no request, and every node exits with 0', async () => {
    const http = request(nginx.url);
    const matrix = new MatrixClient(http);
    const reader = await matrix.register();
    const statuses = new Map<string, number>();
    let isOver = false;
    const count = (what: string, status: number | string) =>
      statuses.set(`${what} ${status}`, (statuses.get(`${what} ${status}`) ?? 0) + 1);
    const told = async (what: string, call: PromiseLike<{ status: number }>) => {
      try {
        count(what, (await call).status);
      } catch (error) {
        count(what, String(error));
      }
    };
    const login = { type: 'm.login.password', user: reader.userId, password: 'correct horse battery staple' };
    const readers = Array.from({ length: 8 }, async () => {
      while (!isOver) await told('whoami', matrix.whoami(reader));
    });
    const writers = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        try {
          const answer = await http.post(`${V3}/login`).send(login);
          count('login', answer.status);
          if (answer.status !== 200) continue;
          const { user_id: userId, device_id: deviceId, access_token: accessToken } = answer.body;
          const session = { userId, deviceId, accessToken };
          await told('upload', matrix.uploadKeys(session, someKeys(session)));
          await told('logout', matrix.logout(session));
        } catch (error) {
          count('login', String(error));
        }
      }
    });
    const codes: (number | null)[] = [];
    for (const [at, node] of nodes.entries()) {
      codes.push(await node.stop());
      nodes[at] = await start(Number(new URL(node.url).port));
    }
    isOver = true;
    await Promise.all([...readers, ...writers]);
    expect(codes).toEqual([0, 0, 0]);
    expect([...statuses.keys()].toSorted()).toEqual(['login 200', 'logout 200', 'upload 200', 'whoami 200']);
  }, 120_000);
});
