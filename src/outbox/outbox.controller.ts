import { Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiQuery, ApiTags } from '@nestjs/swagger';
import { ForServerAdmins } from '../admin-api/server-admin.decorator.js';
import { ApiAccessToken, ApiMatrixError } from '../matrix/api.decorators.js';
import { WithoutBody } from '../matrix/json-body.guard.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { DeliveryState, EventDeliveryEntity } from './event-delivery.entity.js';
import { readLimit, readName, readPageToken, toPageToken } from '../admin-api/page.rules.js';
import { toPublicJson } from './public-json.js';
import { OutboxService } from './outbox.service.js';

const STATES: readonly DeliveryState[] = ['buried', 'pending', 'delivered'];
const LIMIT = { byDefault: 100, most: 1_000 };

const ApiSubscriber = () =>
  ApiParam({ name: 'subscriber', description: 'The name of a subscriber.', example: 'webhook:homeserver' });

/** Deliveries to subscribers, for administrators. Not part of the Matrix specification. */
@Controller('/_session/v1/admin/deliveries')
@ApiTags('Events')
@ApiAccessToken()
export class OutboxController {
  constructor(private readonly outbox: OutboxService) {}

  @Get()
  @ForServerAdmins('state', 'subscriber', 'event_id', 'limit', 'from')
  @ApiOperation({
    operationId: 'listDeliveries',
    summary: 'Deliveries of events in a state: the latest first, or of pending ones the longest due',
  })
  @ApiQuery({ name: 'state', required: false, enum: STATES, description: 'Default: buried.' })
  @ApiQuery({ name: 'subscriber', required: false, type: String })
  @ApiQuery({ name: 'event_id', required: false, type: String, description: 'One event, in whatever state.' })
  @ApiQuery({ name: 'limit', required: false, type: Number, description: `Default ${LIMIT.byDefault}.` })
  @ApiQuery({ name: 'from', required: false, type: String, description: 'The next_batch of an answer.' })
  @ApiOkResponse({
    schema: {
      type: 'object',
      properties: {
        deliveries: { type: 'array', items: { type: 'object' } },
        next_batch: { type: 'string', description: 'Where the list goes on; missing at its end.' },
      },
    },
  })
  async list(@Query() query: Record<string, unknown>): Promise<object> {
    const eventId = readName('event_id', query['event_id']);
    if (eventId !== null) return { deliveries: (await this.outbox.listOfEvent(eventId)).map(toAnswer) };
    const state = STATES.find((name) => name === (query['state'] ?? 'buried'));
    if (state === undefined) throw MatrixError.invalidParam(`state must be one of ${STATES.join(', ')}`);
    const subscriber = readName('subscriber', query['subscriber']);
    const limit = readLimit(query['limit'], LIMIT);
    const deliveries = await this.outbox.list(state, subscriber, limit, readPageToken(query['from']));
    const last = deliveries.length === limit ? deliveries.at(-1) : undefined;
    return {
      deliveries: deliveries.map(toAnswer),
      ...(last === undefined
        ? {}
        : { next_batch: toPageToken({ at: last.settledAt ?? last.nextAttemptAt, id: last.eventId }) }),
    };
  }

  @Post(':subscriber/replay')
  @ApiSubscriber()
  @HttpCode(200)
  @ForServerAdmins()
  @WithoutBody()
  @ApiOperation({
    operationId: 'replayDeliveries',
    summary: 'Retry the buried deliveries of a subscriber, 10,000 deliveries at a time',
  })
  @ApiOkResponse({ schema: { type: 'object', properties: { replayed: { type: 'integer' } } } })
  async replayAll(@Param('subscriber') subscriber: string): Promise<object> {
    return { replayed: await this.outbox.replayAll(subscriber) };
  }

  @Post(':subscriber/discard')
  @ApiSubscriber()
  @HttpCode(200)
  @ForServerAdmins()
  @WithoutBody()
  @ApiOperation({
    operationId: 'discardDeliveries',
    summary: 'Remove a subscriber and its pending deliveries, 10,000 deliveries of a state at a time',
  })
  @ApiOkResponse({ schema: { type: 'object', properties: { discarded: { type: 'integer' } } } })
  async discard(@Param('subscriber') subscriber: string): Promise<object> {
    return { discarded: await this.outbox.discard(subscriber) };
  }

  @Post(':subscriber/:eventId/replay')
  @ApiSubscriber()
  @ApiParam({ name: 'eventId', example: 'b5b3c2e0-6f0a-4c4e-9d3e-0d1f5a7c9b11' })
  @HttpCode(200)
  @ForServerAdmins()
  @WithoutBody()
  @ApiOperation({ operationId: 'replayDelivery', summary: 'Try a buried delivery again' })
  @ApiOkResponse({ schema: { type: 'object', properties: {} } })
  @ApiMatrixError(404, 'No such delivery is buried that anybody is subscribed to.', ['M_NOT_FOUND'])
  async replay(@Param('subscriber') subscriber: string, @Param('eventId') eventId: string): Promise<object> {
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
