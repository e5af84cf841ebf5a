import { Inject, Injectable } from '@nestjs/common';
import { AfterCommit, type Delivery, DevicesDeleted } from 'matrix-session-service';

/** URL of the machines that send pushes, and that remember whom to send them to; `null`: there are none. */
export const PUSH_WORKERS_URL = Symbol('PUSH_WORKERS_URL');

/** Tells other machines what they cannot see in this database. */
@Injectable()
export class PushWorkersSubscriber {
  constructor(@Inject(PUSH_WORKERS_URL) private readonly url: string | null) {}

  @AfterCommit(DevicesDeleted, 'push-workers')
  async onDevicesDeleted({ devices }: DevicesDeleted, { eventId, signal }: Delivery): Promise<void> {
    if (this.url === null) return;
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': eventId },
      body: JSON.stringify({ devices }),
      signal,
    });
    if (!response.ok) throw new Error(`The push workers answered ${response.status}`);
  }
}
