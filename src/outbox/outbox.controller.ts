import { Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { CurrentRequester } from '../auth/auth.decorators.js';
import type { Requester } from '../auth/requester.js';
import { requireServerAdmin } from '../auth/server-admin.rules.js';
import { Environment } from '../config/environment.js';
import { ApiAccessToken, ApiMatrixError } from '../matrix/api.decorators.js';
import { WithoutBody } from '../matrix/json-body.guard.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { DeliveryState, EventDeliveryEntity } from './event-delivery.entity.js';
import { toPublicJson } from './public-json.js';
import { OutboxService } from './outbox.service.js';

const STATES: readonly DeliveryState[] = ['buried', 'pending', 'delivered'];
const LIMIT = 100;

/** What subscribers are owed, for administrators. Not of the Matrix specification. */
@Controller('/_session/v1/admin/deliveries')
@ApiTags('Events')
@ApiAccessToken()
@ApiMatrixError(403, 'The caller is no administrator.', ['M_FORBIDDEN'])
export class OutboxController {
  constructor(
    private readonly outbox: OutboxService,
    private readonly environment: Environment,
  ) {}

  @Get()
  @ApiOperation({
    operationId: 'listDeliveries',
    summary:
      'Deliveries of events in a state, 100 at the most: the latest, or of pending ones the longest due',
  })
  @ApiQuery({ name: 'state', required: false, enum: STATES, description: 'Default: buried.' })
  @ApiQuery({ name: 'subscriber', required: false, type: String })
  @ApiOkResponse({
    schema: { type: 'object', properties: { deliveries: { type: 'array', items: { type: 'object' } } } },
  })
  @ApiMatrixError(400, 'There is no such state.', ['M_INVALID_PARAM'])
  async list(
    @CurrentRequester() requester: Requester,
    @Query('state') state: unknown = 'buried',
    @Query('subscriber') subscriber?: unknown,
  ): Promise<object> {
    requireServerAdmin(this.environment, requester);
    const known = STATES.find((name) => name === state);
    if (known === undefined) throw MatrixError.invalidParam(`state must be one of ${STATES.join(', ')}`);
    if (subscriber !== undefined && typeof subscriber !== 'string')
      throw MatrixError.invalidParam('subscriber must be one name');
    const deliveries = await this.outbox.list(known, subscriber ?? null, LIMIT);
    return { deliveries: deliveries.map(toAnswer) };
  }

  @Post(':subscriber/replay')
  @HttpCode(200)
  @WithoutBody()
  @ApiOperation({
    operationId: 'replayDeliveries',
    summary: 'Try what is buried of a subscriber again, 10,000 deliveries at a time',
  })
  @ApiOkResponse({ schema: { type: 'object', properties: { replayed: { type: 'integer' } } } })
  async replayAll(
    @CurrentRequester() requester: Requester,
    @Param('subscriber') subscriber: string,
  ): Promise<object> {
    requireServerAdmin(this.environment, requester);
    return { replayed: await this.outbox.replayAll(subscriber) };
  }

  @Post(':subscriber/:eventId/replay')
  @HttpCode(200)
  @WithoutBody()
  @ApiOperation({ operationId: 'replayDelivery', summary: 'Try a buried delivery again' })
  @ApiOkResponse({ schema: { type: 'object', properties: {} } })
  @ApiMatrixError(404, 'No such delivery is buried that anybody is subscribed to.', ['M_NOT_FOUND'])
  async replay(
    @CurrentRequester() requester: Requester,
    @Param('subscriber') subscriber: string,
    @Param('eventId') eventId: string,
  ): Promise<object> {
    requireServerAdmin(this.environment, requester);
    await this.outbox.replay(eventId, subscriber);
    return {};
  }
}

function toAnswer(delivery: EventDeliveryEntity): object {
  return {
    event_id: delivery.eventId,
    type: delivery.event,
    subscriber: delivery.subscriber,
    user_id: delivery.userId,
    state: delivery.state,
    attempts: delivery.attempts,
    occurred_ts: delivery.occurredAt.getTime(),
    next_attempt_ts: delivery.state === 'pending' ? delivery.nextAttemptAt.getTime() : null,
    settled_ts: delivery.settledAt?.getTime() ?? null,
    last_error: delivery.lastError,
    data: toPublicJson(delivery).data,
  };
}
