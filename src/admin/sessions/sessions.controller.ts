import { Body, Controller, Get, HttpCode, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { readLimit } from '../../admin-api/page.rules.js';
import { ForServerAdmins } from '../../admin-api/server-admin.decorator.js';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import { ApiAccessToken, ApiJsonBodyErrors, ApiMatrixError } from '../../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { ApiBodyOf, readBody } from '../body.rules.js';
import { JOB_SCHEMA, toJobDto } from '../jobs/ending-job.dto.js';
import { EndingJobs } from '../jobs/ending-jobs.service.js';
import { ApiQueries, namesOf, readQuery } from '../query.rules.js';
import { endSchema, filterSchema, toFilter } from './session-filter.js';
import { SESSION_SCHEMA, toPreview, toSessionDto } from './session.dto.js';
import { readPosition, toPosition } from './session-position.js';
import { AdminSessions } from './sessions.service.js';

const LIMIT = { byDefault: 100, most: 1_000 };

/** The sessions of all users, for administrators. Not part of the Matrix specification. */
@Controller('/_session/v1/admin/sessions')
@ApiTags('Session management')
@ApiAccessToken()
export class AdminSessionsController {
  constructor(
    private readonly sessions: AdminSessions,
    private readonly jobs: EndingJobs,
  ) {}

  @Get()
  @ForServerAdmins(...namesOf(filterSchema), 'limit', 'from')
  @ApiOperation({
    operationId: 'listSessions',
    summary: 'Sessions that meet every condition, in the order of users and devices',
    description: 'A page may be short, even empty, although there is a next_batch.',
  })
  @ApiQueries(filterSchema)
  @ApiQuery({ name: 'limit', required: false, type: Number, description: `Default ${LIMIT.byDefault}.` })
  @ApiQuery({ name: 'from', required: false, type: String, description: 'The next_batch of an answer.' })
  @ApiOkResponse({
    schema: {
      type: 'object',
      properties: {
        sessions: { type: 'array', items: SESSION_SCHEMA },
        next_batch: { type: 'string', description: 'Where the list goes on; missing at its end.' },
      },
    },
  })
  async list(@Query() query: Record<string, unknown>): Promise<object> {
    const filter = toFilter(readQuery(filterSchema, query));
    const limit = readLimit(query['limit'], LIMIT);
    const { sessions, next } = await this.sessions.list(filter, readPosition(query['from']), limit);
    return {
      sessions: sessions.map(toSessionDto),
      ...(next === null ? {} : { next_batch: toPosition(next) }),
    };
  }

  @Post('end')
  @HttpCode(200)
  @ForServerAdmins()
  @ApiOperation({
    operationId: 'endSessions',
    summary: 'End all sessions that meet every condition',
    description:
      'With dry_run it says how many and which. Otherwise it answers with a job at once, which any node works on: all ' +
      'tokens end first, in commits of 500 sessions, and their devices and keys follow right after it. Sessions that ' +
      'begin after this call stay.',
  })
  @ApiBodyOf(endSchema, {
    user_agent: 'Element/1.0',
    except: [{ user_id: '@admin:localhost' }],
    dry_run: true,
  })
  @ApiOkResponse({ description: 'The job; with dry_run, count and sessions.', schema: JOB_SCHEMA })
  @ApiJsonBodyErrors()
  @ApiMatrixError(404, 'A user or session of `except` does not exist.', ['M_NOT_FOUND'])
  async end(
    @CurrentRequester() { userId: actor }: Requester,
    @Body() body: unknown,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const { all: _, reason = null, dry_run: isDry = false, ...conditions } = readBody(endSchema, body);
    const filter = toFilter(conditions);
    await this.sessions.requireExceptions(filter);
    if (isDry) return toPreview(await this.sessions.preview(filter));
    return toJobDto(await this.jobs.begin(filter, { actor, origin, reason }));
  }
}
