import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { ForServerAdmins } from '../admin-api/server-admin.decorator.js';
import { requireWholeUserId } from '../admin-api/server-admin.rules.js';
import { Environment } from '../config/environment.js';
import { ApiAccessToken } from '../matrix/api.decorators.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { readLimit, readName, readPageToken, toPageToken } from '../admin-api/page.rules.js';
import { Clock } from '../system/clock.js';
import { AUDIT_ACTIONS, type AuditAction, type AuditEntryEntity } from './audit-entry.entity.js';
import { AuditService } from './audit.service.js';

const LIMIT = { byDefault: 100, most: 1_000 };

/** How sessions began and ended, and what was refused, for administrators. Not part of the Matrix specification. */
@Controller('/_session/v1/admin/audit')
@ApiTags('Audit')
@ApiAccessToken()
export class AuditController {
  constructor(
    private readonly audit: AuditService,
    private readonly environment: Environment,
    private readonly clock: Clock,
  ) {}

  @Get()
  @ForServerAdmins('user_id', 'action', 'limit', 'from')
  @ApiOperation({
    operationId: 'listAuditEntries',
    summary:
      'Logins, ends of sessions with their reason, what happened to accounts, and refusals; the newest first',
  })
  @ApiQuery({ name: 'user_id', required: false, type: String })
  @ApiQuery({ name: 'action', required: false, enum: AUDIT_ACTIONS })
  @ApiQuery({ name: 'limit', required: false, type: Number, description: `Default ${LIMIT.byDefault}.` })
  @ApiQuery({ name: 'from', required: false, type: String, description: 'The next_batch of an answer.' })
  @ApiOkResponse({
    schema: {
      type: 'object',
      properties: {
        entries: { type: 'array', items: { type: 'object' } },
        next_batch: { type: 'string', description: 'Where the list goes on; missing at its end.' },
      },
    },
  })
  async list(@Query() query: Record<string, unknown>): Promise<object> {
    const { action = null } = query;
    const userId = readName('user_id', query['user_id']);
    if (userId !== null) requireWholeUserId(this.environment, userId);
    if (action !== null && !AUDIT_ACTIONS.includes(action as AuditAction))
      throw MatrixError.invalidParam(`action must be one of ${AUDIT_ACTIONS.join(', ')}`);
    const limit = readLimit(query['limit'], LIMIT);
    const entries = await this.audit.list({
      userId,
      action: action as AuditAction | null,
      // Another node's clock may be ahead.
      before: readPageToken(query['from']) ?? { at: new Date(this.clock.now().getTime() + 60_000), id: '' },
      limit,
    });
    const last = entries.length === limit ? entries.at(-1) : undefined;
    return {
      entries: entries.map(toAnswer),
      ...(last === undefined ? {} : { next_batch: toPageToken({ at: last.at, id: last.entryId }) }),
    };
  }
}

function toAnswer(entry: AuditEntryEntity): object {
  return {
    ts: entry.at.getTime(),
    action: entry.action,
    user_id: entry.userId,
    device_id: entry.deviceId,
    reason: entry.reason,
    operation: entry.operation,
    actor: entry.actor,
    address: entry.address,
    user_agent: entry.userAgent,
    client_id: entry.clientId,
  };
}
