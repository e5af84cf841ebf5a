import { Inject, Module, type OnModuleInit } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Subscribers } from '../outbox/subscribers.js';
import type { Webhook } from './webhook.js';
import { webhooksOf } from './webhooks-file.js';

const WEBHOOKS = 'WEBHOOKS';

/** Posts events to the targets in `WEBHOOKS_FILE`. If the file is invalid, the service does not start. */
@Module({ providers: [{ provide: WEBHOOKS, inject: [Environment], useFactory: webhooksOf }] })
export class WebhooksModule implements OnModuleInit {
  constructor(
    @Inject(WEBHOOKS) private readonly webhooks: readonly Webhook[],
    private readonly subscribers: Subscribers,
  ) {}

  onModuleInit(): void {
    for (const webhook of this.webhooks) this.subscribers.add(webhook);
  }
}
