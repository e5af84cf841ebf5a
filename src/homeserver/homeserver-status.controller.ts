import { Controller, Get, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ForServerAdmins } from '../admin-api/server-admin.decorator.js';
import { ApiAccessToken } from '../matrix/api.decorators.js';
import { Environment } from '../config/environment.js';
import { OutboxService } from '../outbox/outbox.service.js';
import { Homeserver } from './homeserver.port.js';
import { SUBSCRIBER } from './deliveries/subscriber-name.js';

const AFTER_START_MS = 2_000;

/** Tells administrators whether the two servers work together. Not part of the Matrix specification. */
@Controller('/_session/v1/admin/homeserver')
@ApiTags('Homeserver')
@ApiAccessToken()
export class HomeserverStatusController implements OnApplicationBootstrap {
  private readonly logger = new Logger('Homeserver');

  constructor(
    private readonly homeserver: Homeserver,
    private readonly outbox: OutboxService,
    private readonly environment: Environment,
  ) {}

  /** Either server may be started first, so nothing waits for this. Synapse asks back, once this one listens. */
  onApplicationBootstrap(): void {
    if (!this.homeserver.exists || !this.environment.background) return;
    setTimeout(() => {
      this.homeserver.problems().then(
        (problems) => problems.forEach((problem) => this.logger.warn(problem)),
        (error: unknown) => this.logger.warn(String(error)),
      );
    }, AFTER_START_MS).unref();
  }

  @Get()
  @ForServerAdmins()
  @ApiOperation({
    operationId: 'homeserverStatus',
    summary: 'Whether the homeserver answers, trusts this service, and has heard of everything',
  })
  @ApiOkResponse({
    description:
      '`up`: whether it answers. `problems`: what is wrong with the configuration of the two, in words. `lag_ms`: the ' +
      'age of the oldest event that it has not heard of; 0 if there is none.',
    schema: { example: { up: true, problems: [], lag_ms: 0 } },
  })
  async status(): Promise<object> {
    const problems = await this.homeserver.problems();
    return { up: this.homeserver.isUp, problems, lag_ms: await this.outbox.lagMs(SUBSCRIBER) };
  }
}
