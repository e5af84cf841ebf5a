import { Injectable, Module, Scope, type Type } from '@nestjs/common';
import { beforeEach, describe, expect, it } from 'vitest';
import { AfterCommit, type Delivery, SessionStarted } from '../../src/index.js';
import { Recorder } from '../support/recorder.js';
import { TestApp } from '../support/test-app.js';

const recorder = new Recorder();

@Injectable()
class NarrowSubscriber {
  @AfterCommit(SessionStarted, 'team')
  async onSessionStarted(event: SessionStarted, delivery: Delivery): Promise<void> {
    recorder.heard.push({ event, delivery });
  }
}

beforeEach(() => recorder.reset());

describe('A subscriber', () => {
  const start = (module: object) => TestApp.start({ extensions: [module as Type<object>] });

  it('may be provided under a second token', async () => {
    @Module({ providers: [NarrowSubscriber, { provide: 'alias', useExisting: NarrowSubscriber }] })
    class AliasModule {}
    const node = await start(AliasModule);
    recorder.heard = [];
    const session = await node.matrix.register();
    await node.drain();
    expect(recorder.of(session)).toHaveLength(1);
    await node.stop();
  });

  it.each(['', 'a b', 'ü'])('is refused at start with the name "%s"', async (name) => {
    @Injectable()
    class MisnamedSubscriber {
      @AfterCommit(SessionStarted, name)
      async onSessionStarted(): Promise<void> {}
    }
    @Module({ providers: [MisnamedSubscriber] })
    class MisnamedModule {}
    await expect(start(MisnamedModule)).rejects.toThrow(/The name of a subscriber/);
  });

  it('that is request-scoped is refused at start', async () => {
    @Module({ providers: [{ provide: NarrowSubscriber, useClass: NarrowSubscriber, scope: Scope.REQUEST }] })
    class RequestModule {}
    await expect(start(RequestModule)).rejects.toThrow(/NarrowSubscriber: @AfterCommit/);
  });
});
