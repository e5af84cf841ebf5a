import { Injectable, Module } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import {
  AfterCommit,
  DevicesDeleted,
  EventBus,
  InTransaction,
  SessionEvent,
  type Tx,
} from '../../src/index.js';
import { useApp } from '../support/test-app.js';

let sent: unknown = 1;
const delivered: unknown[] = [];

class NoteCounted extends SessionEvent {
  static override readonly eventName = 'acme.note.counted';
  constructor(
    readonly userId: string,
    readonly amount: unknown,
  ) {
    super();
  }
}

@Injectable()
class NotesListener {
  constructor(private readonly events: EventBus) {}

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices }: DevicesDeleted, tx: Tx): Promise<void> {
    await this.events.publish(tx, new NoteCounted(devices[0]!.userId, sent));
  }

  @AfterCommit(NoteCounted, 'notes')
  async onNoteCounted(event: NoteCounted): Promise<void> {
    delivered.push(event.amount);
  }

  @AfterCommit(DevicesDeleted, 'notes')
  async onGone(): Promise<void> {
    delivered.push('gone');
  }
}

@Module({ providers: [NotesListener] })
class NotesModule {}

const app = useApp({ extensions: [NotesModule] });

describe('An event that cannot be serialized', () => {
  it('makes the transaction fail before the commit, so nothing changes and no event is lost', async () => {
    const session = await app().matrix.register();
    sent = 10n;
    await app().matrix.logout(session).expect(500);
    expect((await app().matrix.whoami(session)).status).toBe(200);
    await app().drain();
    expect(delivered).toEqual([]);
    sent = 10;
    await app().matrix.logout(session).expect(200);
    await app().drain();
    expect(delivered.toSorted()).toEqual([10, 'gone']);
  });
});
