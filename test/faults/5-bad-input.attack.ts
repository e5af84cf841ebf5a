import fc from 'fast-check';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { type ClientSession, uniqueUsername } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import {
  body,
  type Endpoint,
  endpointsIn,
  fitting,
  type OpenApi,
  parameter,
} from '../support/random-requests.js';
import { conclude } from './support/attack.js';
import { trials } from './support/form.js';
import { faultIn, sendRaw } from './support/raw.js';
import { Stage } from './support/stage.js';

const AT_ONCE = 12;
/** So many requests, and then another session, as some end it. */
const ROUND = 500;
const PATIENCE_MS = 20_000;
const ADMIN_TOKEN = 'attack-attack-attack-attack-attack';

interface Generated {
  readonly bytes: string;
  readonly what: string;
}

describe('Bad input:', () => {
  let stage: Stage;
  let openApi: OpenApi;
  let session: ClientSession;
  /** How many answers there were of each kind. */
  const answers = new Map<string, number>();
  const takeAnswers = () => {
    const note = [...answers]
      .toSorted()
      .map(([kind, count]) => `${count.toLocaleString('en')} ${kind}`)
      .join(', ');
    answers.clear();
    return note;
  };
  beforeAll(async () => {
    const file = join(await temporaryDirectory(), 'admin-token');
    await writeFile(file, ADMIN_TOKEN);
    stage = await Stage.set(1, {
      ADMIN_TOKEN_FILE: file,
      GUESTS: 'allowed',
      OAUTH: 'on',
      PUBLIC_BASE_URL: 'http://localhost:8008',
      SERVER_NAME: 'localhost',
    });
    const answer = await stage.nodes[0]!.http.get('/docs/openapi.json').expect(200);
    openApi = answer.body as OpenApi;
  });
  afterAll(() => stage?.clear());

  /** Sends all of it, and says what was answered as it must not be. */
  async function send(all: readonly Generated[], isEnd: boolean): Promise<string[]> {
    const violations: string[] = [];
    const rest = all.values();
    const worker = async () => {
      for (const { bytes, what } of rest) {
        const reply = await sendRaw(stage.ports[0]!, Buffer.from(bytes, 'latin1'), PATIENCE_MS, isEnd);
        const kind = reply.status === 0 ? 'closed' : `${Math.floor(reply.status / 100)}xx`;
        answers.set(kind, (answers.get(kind) ?? 0) + 1);
        const fault = faultIn(reply);
        if (fault !== null) violations.push(`${what}: ${fault}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (!stage.nodes[0]!.isRunning) violations.push('the service has crashed');
    return violations;
  }

  /** A request to an endpoint, with a body that nearly fits, or does not at all. */
  function requestTo(endpoint: Endpoint): fc.Arbitrary<Generated> {
    const { path, method, body: schema } = endpoint;
    const sent =
      schema === undefined
        ? body
        : fc.oneof(
            fitting(schema, openApi).map((json) => JSON.stringify(json)),
            body,
          );
    const token = fc.constantFrom(session.accessToken, session.accessToken, ADMIN_TOKEN, 'mxa_x', '');
    const query = fc.record(Object.fromEntries(endpoint.query.map((name) => [name, parameter])), {
      requiredKeys: [],
    });
    return fc.tuple(parameter, query, sent, token).map(([argument, asked, text, bearer]) => {
      const search = Object.entries(asked)
        .map(([name, one]) => `${name}=${one}`)
        .join('&');
      const bytes = Buffer.from(method === 'get' ? '' : text).toString('latin1');
      const target = `${method.toUpperCase()} ${path.replace(/\{\w+\}/g, argument)}?${search}`;
      const head = `${target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${bearer}\r\n`;
      const type = `Content-Type: application/json\r\nContent-Length: ${bytes.length}\r\n\r\n`;
      return { bytes: `${head}${type}${bytes}`, what: `${target} ${bytes.slice(0, 500)}` };
    });
  }

  /** With a session of its own for each round. */
  async function inRounds(
    count: number,
    isEnd: boolean,
    next: () => fc.Arbitrary<Generated>,
  ): Promise<string[]> {
    const violations: string[] = [];
    for (let sent = 0; sent < count; sent += ROUND) {
      session = await stage.nodes[0]!.matrix.register({ username: uniqueUsername(), refresh_token: true });
      violations.push(...(await send(fc.sample(next(), Math.min(ROUND, count - sent)), isEnd)));
    }
    return violations;
  }

  it('requests from the served OpenAPI document', async (context) => {
    const count = trials(40_000, 1_500);
    const endpoints = endpointsIn(openApi);
    const violations = await inRounds(count, false, () => fc.oneof(...endpoints.map(requestTo)));
    const of = `requests to ${endpoints.length} endpoints`;
    conclude(context, { trials: count, of, violations, memoryMb: await stage.peakMb(), note: takeAnswers() });
  });

  it('raw bytes on the socket', async (context) => {
    const count = trials(10_000, 500);
    const piece = fc.oneof(
      fc.constantFrom(
        'GET / HTTP/1.1\r\n',
        'POST /_matrix/client/v3/login HTTP/1.1\r\n',
        'Host: localhost\r\n',
        'Content-Length: 5\r\n',
        'Content-Length: -1\r\n',
        'Transfer-Encoding: chunked\r\n',
        'Transfer-Encoding: gzip, chunked\r\n',
        'Content-Encoding: gzip\r\n',
        'Content-Type: application/json; charset=utf-16\r\n',
        'Expect: 100-continue\r\n',
        'Upgrade: websocket\r\nConnection: upgrade\r\n',
        'Authorization: Bearer \r\n',
        '\r\n',
        '5\r\nhello\r\n0\r\n\r\n',
        'ffffffffffffffff\r\n',
      ),
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    );
    const bytes = fc.array(piece, { minLength: 1, maxLength: 12 }).map((pieces) => pieces.join(''));
    const violations = await inRounds(count, true, () =>
      bytes.map((one) => ({ bytes: one, what: JSON.stringify(one) })),
    );
    conclude(context, {
      trials: count,
      of: 'connections',
      violations,
      memoryMb: await stage.peakMb(),
      note: takeAnswers(),
    });
  });
});
