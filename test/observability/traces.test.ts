import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApplication } from '../../src/application.js';
import { UnitOfWork } from '../../src/database/unit-of-work.js';
import {
  AfterCommit,
  DevicesDeleted,
  InTransaction,
  MatrixError,
  Public,
  type SessionEvent,
  type Tx,
} from '../../src/index.js';
import { KeysDevicesListener } from '../../src/keys/keys-devices.listener.js';
import type { OpenTelemetryTracing } from '../../src/observability/tracing.js';
import { Tracing } from '../../src/system/tracing.js';
import { type ClientSession, PASSWORD, V3 } from '../../src/testing/matrix-client.js';
import { CapturedLog } from '../support/captured-log.js';
import { type CollectedSpan, CollectorStub, FAILED, KIND, type Tree } from '../support/collector.js';
import { Bystander, lockWaiters } from '../support/interleaving.js';
import { secretWatch } from '../support/secret-watch.js';
import { freePort } from '../support/service-process.js';
import { TestApp } from '../support/test-app.js';

/** Called within a delivery. */
let onDelivery = async (): Promise<void> => {};

@Injectable()
class TeamListeners {
  @InTransaction(DevicesDeleted)
  async removeNotes(_event: SessionEvent, tx: Tx): Promise<void> {
    await tx.manager.query(`SELECT 'a value in the text' AS note, $1::text AS value`, [
      'the value of a parameter',
    ]);
  }

  @AfterCommit(DevicesDeleted, 'team')
  tell(): Promise<void> {
    return onDelivery();
  }
}

@Public()
@Controller('_acme')
class TeamController {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  @Get('refused/:secret')
  refused(): never {
    throw MatrixError.invalidParam('Not like this');
  }

  @Get('broken')
  broken(): Promise<unknown> {
    const cast = { name: 'acme_cast', text: 'SELECT $1::text::integer' };
    return this.unitOfWork.run((tx) => tx.query(cast, ['a secret number']));
  }
}

@Module({ controllers: [TeamController], providers: [TeamListeners] })
class TeamModule {}

const LOGOUT = `POST ${V3}/logout`;
const log = new CapturedLog();
let collector: CollectorStub;
let app: TestApp;

const startApp = (variables: Record<string, string>) =>
  TestApp.start({
    extensions: [TeamModule],
    createApp: async (composition) => createApplication(composition, await log.open('info')),
    variables: { LOG_LEVEL: 'info', EVENT_POLL_INTERVAL: '1h', ...variables },
  });

beforeAll(async () => {
  collector = await CollectorStub.start();
  app = await startApp({
    OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/otlp/`,
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20of-the-collector, x-tenant=sessions',
    OTEL_SERVICE_NAME: 'sessions-of-example-org',
    TRUST_PROXY: '1',
  });
});
afterAll(async () => {
  await app?.stop();
  await collector?.stop();
});

const tracingOf = ({ nest }: TestApp) => nest.get<Tracing, OpenTelemetryTracing>(Tracing);

/** Waits for spans. A request ends when its answer has left, which a client may notice earlier. */
async function collected(isMeant: (span: CollectedSpan) => boolean, count = 1): Promise<CollectedSpan[]> {
  for (let turn = 0; turn < 500; turn += 1) {
    await tracingOf(app).flush();
    const found = collector.spans.filter(isMeant);
    if (found.length >= count) return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`Not collected; there are ${collector.spans.map(({ name }) => name).join(', ')}`);
}

/** The span of a request, by the ID in its answer. */
async function requestOf({ headers }: { headers: Record<string, string> }): Promise<CollectedSpan> {
  const [span] = await collected(({ attributes }) => attributes['request_id'] === headers['x-request-id']);
  return span!;
}

const logout = (session: ClientSession) => app.matrix.logout(session).expect(200);
const childOf = ([, ...children]: Tree, name: string) => children.find(([own]) => own === name)!;
const namesIn = (tree: Tree) => tree.slice(1).map(([name]) => name);

describe('A trace', () => {
  it('of a logout has the guard, the transaction, its statements and the listeners', async () => {
    const session = await app.matrix.register();
    const request = await requestOf(await logout(session));
    expect(request).toMatchObject({
      name: LOGOUT,
      kind: KIND.server,
      attributes: {
        'http.request.method': 'POST',
        'http.route': `${V3}/logout`,
        'http.response.status_code': 200,
        'url.scheme': 'http',
        user_id: session.userId,
        device_id: session.deviceId,
      },
    });
    const tree = collector.tree(request);
    expect(namesIn(tree)).toEqual(['BearerGuard', 'logout']);
    expect(childOf(tree, 'BearerGuard')).toEqual([
      'BearerGuard',
      ['access_tokens', ['session_find_access_tokens']],
    ]);
    const [transaction] = childOf(tree, 'logout').slice(1) as [Tree];
    const [name, ...steps] = transaction;
    expect(name).toBe('transaction');
    expect(steps).toEqual(
      expect.arrayContaining([
        ['BEGIN'],
        ['devices_lock'],
        ['session_delete_sessions'],
        ['TeamListeners.removeNotes', ['SELECT']],
        ['DevicesSessionListener.onDevicesDeleted', ['devices_delete']],
        ['outbox_append'],
      ]),
    );
    expect(steps.at(-1)).toEqual(['COMMIT']);
    expect(childOf(transaction, 'KeysDevicesListener.onDevicesDeleted')).toContainEqual([
      'keys_delete_of_devices',
    ]);
  });

  it('names statements, and has neither their text nor their values', async () => {
    const request = await requestOf(await logout(await app.matrix.register()));
    const below = collector.below(request);
    expect(below.find(({ name }) => name === 'devices_lock')).toMatchObject({
      kind: KIND.client,
      attributes: { 'db.system.name': 'postgresql', 'db.query.summary': 'devices_lock' },
    });
    expect(below.find(({ name }) => name === 'SELECT')!.attributes).toEqual({
      'db.system.name': 'postgresql',
      'db.query.summary': 'SELECT',
    });
    expect(below.find(({ name }) => name === 'TeamListeners.removeNotes')!.attributes).toEqual({
      event: 'devices.deleted',
    });
  });

  it('of a login has the same', async () => {
    const { userId } = await app.matrix.register();
    const login = { type: 'm.login.password', identifier: { type: 'm.id.user', user: userId } };
    const answer = await app.http
      .post(`${V3}/login`)
      .send({ ...login, password: PASSWORD })
      .expect(200);
    const tree = collector.tree(await requestOf(answer));
    const [transaction] = childOf(tree, 'login').slice(1) as [Tree];
    expect(namesIn(transaction)).toEqual(
      expect.arrayContaining(['session_insert', 'DevicesSessionListener.onSessionStarted', 'COMMIT']),
    );
  });

  it('goes on with the deliveries, which are traces with a link', async () => {
    const request = await requestOf(await logout(await app.matrix.register()));
    await app.drain();
    const isLinked = ({ links = [] }: CollectedSpan) =>
      links.some(({ traceId }) => traceId === request.traceId);
    const [delivery] = await collected((span) => span.kind === KIND.consumer && isLinked(span));
    expect(delivery).toMatchObject({
      name: 'deliver devices.deleted',
      attributes: { subscriber: 'team', event: 'devices.deleted', attempt: 1 },
    });
    expect(delivery!.traceId).not.toBe(request.traceId);
    expect(delivery!.parentSpanId).toBeUndefined();
    const written = collector.below(request).find(({ name }) => name === 'logout');
    expect(delivery!.links).toEqual([expect.objectContaining({ spanId: written!.spanId })]);
    expect(collector.tree(delivery!)).toEqual(['deliver devices.deleted', ['outbox_settle']]);
  });

  it('of a delivery that failed says so, and so does the next attempt', async () => {
    onDelivery = () => Promise.reject(new TypeError('mxa_of_a_careless_team'));
    const request = await requestOf(await logout(await app.matrix.register()));
    await app.drain();
    onDelivery = async () => {};
    app.clock.advance(60_000);
    await app.drain();
    const isLinked = ({ links = [] }: CollectedSpan) =>
      links.some(({ traceId }) => traceId === request.traceId);
    const [first, second] = await collected((span) => span.kind === KIND.consumer && isLinked(span), 2);
    expect(first).toMatchObject({ status: { code: FAILED }, attributes: { 'error.type': 'TypeError' } });
    expect(second).toMatchObject({ status: { code: 0 }, attributes: { attempt: 2 } });
    expect(collector.text).not.toContain('mxa_of_a_careless_team');
  });
});

describe('Requests that share a transaction', () => {
  it('have links to it, it has links to them, and deliveries to the request of their user', async () => {
    const sessions: ClientSession[] = [];
    for (let nth = 0; nth < 24; nth += 1) sessions.push(await app.matrix.register());
    const answers = await Promise.all(sessions.map(logout));
    await app.drain();
    const requests = await Promise.all(answers.map(requestOf));
    const spansOf = (request: CollectedSpan) => collector.below(request);
    const shared = requests.map((request) => spansOf(request).find(({ name }) => name === 'logout')!);
    const transactions = requests.flatMap((request) =>
      spansOf(request).filter(({ name }) => name === 'transaction'),
    );
    expect(transactions.length).toBeLessThan(requests.length);
    const placeOf = ({ traceId, spanId }: { traceId: string; spanId: string }) => `${traceId}-${spanId}`;
    const inside = (span: CollectedSpan) => transactions.filter((one) => one.parentSpanId === span.spanId);
    for (const span of shared) {
      const linked = (span.links ?? []).map(placeOf);
      // Either it has a transaction of its own, or it has a link to that of another.
      expect(inside(span).length + linked.length).toBeGreaterThanOrEqual(1);
      const others = transactions.filter((one) => linked.includes(placeOf(one)));
      expect(others).toHaveLength(linked.length);
      for (const one of others) expect(one.links!.map(placeOf)).toContain(placeOf(span));
    }
    const deliveries = await collected(
      ({ kind, links = [] }) =>
        kind === KIND.consumer && requests.some(({ traceId }) => links[0]?.traceId === traceId),
      sessions.length,
    );
    const places = deliveries.map(({ links }) => placeOf(links![0]!));
    expect(places.toSorted()).toEqual(shared.map(placeOf).toSorted());
  });
});

describe('A request that is tried again by itself', () => {
  it('has every attempt in its own trace', async () => {
    const session = await app.matrix.register();
    const bystander = await Bystander.begin(app);
    await bystander.run('SELECT FROM devices WHERE user_id = $1 FOR UPDATE', [session.userId]);
    const late = app.matrix.logout(session);
    const answered = late.then((answer) => answer);
    await lockWaiters(app, 1);
    await bystander.commit();
    const request = await requestOf(await answered);
    const attempts = childOf(collector.tree(request), 'logout').slice(1) as Tree[];
    expect(attempts.map(([name]) => name)).toEqual(attempts.map(() => 'transaction'));
    expect(attempts.length).toBeGreaterThan(1);
    expect(namesIn(attempts[0]!)).toContain('ROLLBACK');
    expect(namesIn(attempts.at(-1)!)).toContain('COMMIT');
    const refused = collector
      .below(request)
      .find(({ name, status }) => name === 'devices_lock' && status.code === FAILED);
    expect(refused!.attributes['error.type']).toBe('55P03');
  });
});

describe('A failure', () => {
  it('is recorded by its kind, without its words', async () => {
    const request = await requestOf(await app.http.get('/_acme/broken').expect(500));
    expect(request).toMatchObject({ status: { code: FAILED }, attributes: { 'error.type': '500' } });
    const statement = collector.below(request).find(({ name }) => name === 'acme_cast');
    // PostgreSQL repeats the value in its message.
    expect(statement).toMatchObject({ status: { code: FAILED }, attributes: { 'error.type': '22P02' } });
    expect([statement!.status.message ?? '', statement!.events ?? []]).toEqual(['', []]);
    expect(namesIn(collector.tree(request))).toEqual(['transaction']);
  });

  it('of a listener is on its span', async () => {
    const failure = app.fail(KeysDevicesListener, 'onDevicesDeleted');
    const session = await app.matrix.register();
    const request = await requestOf(await app.matrix.logout(session).expect(500));
    failure.restore();
    const failed = collector.below(request).filter(({ status }) => status.code === FAILED);
    expect(failed.map(({ name }) => name)).toEqual(expect.arrayContaining(['logout', 'transaction']));
    expect(collector.below(request).map(({ name }) => name)).toContain('ROLLBACK');
  });

  it('is not what a client did wrong', async () => {
    const request = await requestOf(
      await app.http.get('/_acme/refused/of-the-path?token=of-the-query').expect(400),
    );
    expect(request).toMatchObject({
      name: 'GET /_acme/refused/:secret',
      status: { code: 0 },
      attributes: { 'http.response.status_code': 400 },
    });
    const session = await app.matrix.register();
    await logout(session);
    const refused = await requestOf(await app.matrix.logout(session).expect(401));
    expect(refused.status.code).toBe(0);
    expect(collector.below(refused).filter(({ status }) => status.code === FAILED)).toEqual([]);
  });

  it('to find a route leaves nothing of the path', async () => {
    const request = await requestOf(await app.http.get('/nowhere/of-the-path').expect(404));
    expect(request).toMatchObject({ name: 'GET', attributes: { 'http.response.status_code': 404 } });
    expect(request.attributes).not.toHaveProperty('http.route');
    const other = await requestOf(await app.http.propfind('/nowhere').expect(404));
    expect(other).toMatchObject({ name: '_OTHER', attributes: { 'http.request.method': '_OTHER' } });
  });
});

describe('A traceparent', () => {
  const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
  const SPAN = '00f067aa0ba902b7';
  const ask = (target: TestApp, traceparent: string) =>
    target.http.get('/_matrix/client/versions').set('traceparent', traceparent).expect(200);

  it('of a trusted proxy is continued', async () => {
    const request = await requestOf(await ask(app, `00-${TRACE}-${SPAN}-01`));
    expect([request.traceId, request.parentSpanId]).toEqual([TRACE, SPAN]);
  });

  it('of a trusted proxy also says that nothing is recorded', async () => {
    const before = collector.spans.length;
    await ask(app, `00-${TRACE}-${SPAN}-00`);
    const recorded = await requestOf(await ask(app, `00-${TRACE}-${SPAN}-01`));
    expect(collector.spans.slice(before).filter(({ kind }) => kind === KIND.server)).toHaveLength(1);
    expect(recorded.parentSpanId).toBe(SPAN);
  });

  it('that is none begins a trace', async () => {
    for (const wrong of ['', 'x', `00-${'0'.repeat(32)}-${SPAN}-01`, `00-${TRACE}-${SPAN}`]) {
      const request = await requestOf(await ask(app, wrong));
      expect([request.traceId === TRACE, request.parentSpanId]).toEqual([false, undefined]);
    }
  });

  it('of anybody else is ignored, and so is what they say about the sampling', async () => {
    const direct = await startApp({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    const { headers } = await ask(direct, `00-${TRACE}-${SPAN}-00`);
    await direct.stop();
    // The last spans were sent when it stopped.
    const request = collector.spans.find(
      ({ attributes }) => attributes['request_id'] === headers['x-request-id'],
    )!;
    expect([request.traceId === TRACE, request.parentSpanId]).toEqual([false, undefined]);
  });

  it('decides where the share of traces is 0, also about deliveries', async () => {
    const rarely = await startApp({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: 'rarely',
      OTEL_TRACES_SAMPLER_ARG: '0',
      TRUST_PROXY: '1',
    });
    const [one, other] = [await rarely.matrix.register(), await rarely.matrix.register()];
    const before = collector.spans.length;
    await rarely.matrix.logout(one).expect(200);
    await rarely.matrix.logout(other).set('traceparent', `00-${TRACE}-${SPAN}-01`).expect(200);
    await rarely.drain();
    const parents = await rarely.sql<{ trace_parent: string | null }>(
      `SELECT trace_parent FROM event_deliveries ORDER BY position`,
    );
    await rarely.stop();
    const ofTrace = collector.spans.slice(before).filter(({ traceId }) => traceId === TRACE);
    expect(ofTrace.filter(({ name }) => name === LOGOUT)).toHaveLength(1);
    const deliveries = collector.spans.filter(({ links = [] }) => links[0]?.traceId === TRACE);
    expect(deliveries.map(({ name }) => name)).toEqual(['deliver devices.deleted']);
    expect(parents.map((row) => row.trace_parent?.slice(0, 35) ?? null)).toEqual([null, `00-${TRACE}`]);
  });
});

describe('What is not recorded', () => {
  it('are health checks, and work that no request asked for', async () => {
    const before = collector.spans.length;
    await app.http.get('/health/ready').expect(200);
    await app.nest.get(UnitOfWork).query({ name: 'nobody_asked', text: 'SELECT 1' });
    await requestOf(await app.http.get('/_matrix/client/versions').expect(200));
    const names = collector.spans.slice(before).map(({ name }) => name);
    expect(names.filter((name) => /health|nobody|lease/.test(name))).toEqual([]);
    expect(collector.spans.filter(({ name }) => name === 'outbox_lease')).toEqual([]);
  });

  it('are secrets, values, queries and paths', async () => {
    await requestOf(await app.http.get(`${V3}/account/whoami?access_token=of-a-query`).expect(401));
    await tracingOf(app).flush();
    expect(secretWatch.seen.size).toBeGreaterThan(20);
    for (const secret of secretWatch.seen) expect(collector.text).not.toContain(secret);
    const others = ['of-a-query', 'of-the-query', 'of-the-path', 'a secret number', 'a value in the text'];
    for (const one of [
      ...others,
      'the value of a parameter',
      PASSWORD,
      'mxa_',
      'of-the-collector',
      '127.0.0.1',
    ])
      expect(collector.text).not.toContain(one);
  });
});

describe('The collector', () => {
  it('is asked as the variables say, by the name of the service', async () => {
    await requestOf(await app.http.get('/_matrix/client/versions').expect(200));
    expect(collector.asked[0]).toMatchObject({
      path: '/otlp/v1/traces',
      headers: {
        authorization: 'Bearer of-the-collector',
        'x-tenant': 'sessions',
        'content-type': 'application/json',
      },
    });
    expect(collector.asked.at(-1)!.path).toBe('/otlp/v1/traces');
    expect(collector.names).toContain('sessions-of-example-org');
  });

  it('that refuses traces costs one warning, and no request', async () => {
    const warnings = () => log.lines('Tracing').map(({ message }) => message);
    expect(warnings()).toEqual([]);
    collector.status = 400;
    try {
      for (let nth = 0; nth < 3; nth += 1) {
        await logout(await app.matrix.register());
        await tracingOf(app).flush();
      }
    } finally {
      collector.status = 200;
    }
    expect(warnings()).toEqual([
      expect.stringMatching(/^Traces do not arrive at 127\.0\.0\.1:\d+, and are lost: Bad Request$/),
    ]);
  });

  it('that is down holds up neither a request nor the end', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const alone = await startApp({ OTEL_EXPORTER_OTLP_ENDPOINT: url });
    const session = await alone.matrix.register();
    await alone.matrix.logout(session).expect(200);
    await alone.drain();
    await alone.stop();
  });
});

describe('The log', () => {
  it('has the ID of the trace in the line of a request, if it is recorded', async () => {
    const request = await requestOf(await app.http.get('/_matrix/client/versions').expect(200));
    const line = log.lines('Request').find((one) => one['request_id'] === request.attributes['request_id']);
    expect(line!['trace_id']).toBe(request.traceId);
    const plain = await startApp({});
    const { headers } = await plain.http.get('/_matrix/client/versions').expect(200);
    await plain.stop();
    const other = log.lines('Request').find((one) => one['request_id'] === headers['x-request-id']);
    expect(other).not.toHaveProperty('trace_id');
  });
});
