import { Injectable, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AfterCommit, DevicesDeleted, InTransaction } from '../../src/index.js';
import { Tracing } from '../../src/system/tracing.js';
import { V3 } from '../../src/testing/matrix-client.js';
import { CollectorStub } from '../support/collector.js';
import { TestApp } from '../support/test-app.js';
import type { OpenTelemetryTracing } from '../../src/observability/tracing.js';

@Injectable()
class TeamListeners {
  @InTransaction(DevicesDeleted)
  async removeNotes(): Promise<void> {}

  @AfterCommit(DevicesDeleted, 'team')
  async tell(): Promise<void> {}
}

@Module({ providers: [TeamListeners] })
class TeamModule {}

let collector: CollectorStub;
let app: TestApp;

beforeAll(async () => {
  collector = await CollectorStub.start();
  app = await TestApp.start({
    extensions: [TeamModule],
    variables: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url },
  });
});
afterAll(async () => {
  await app?.stop();
  await collector?.stop();
});

it('x', async () => {
  const session = await app.matrix.register();
  const s2 = await app.matrix.login(session.userId);
  await app.matrix.logout(session).expect(200);
  await app.drain();
  await app.nest.get<OpenTelemetryTracing>(Tracing as never).flush();
  for (const root of collector.spans.filter((s) => s.parentSpanId === undefined))
    console.log(JSON.stringify(collector.tree(root), null, 1), JSON.stringify(root));
  console.log(JSON.stringify(collector.resource), s2.deviceId, V3);
});
