import { Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiQuery, ApiTags } from '@nestjs/swagger';
import { readLimit, readName } from '../../admin-api/page.rules.js';
import { ForServerAdmins } from '../../admin-api/server-admin.decorator.js';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import { ApiAccessToken, ApiMatrixError } from '../../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { JOB_SCHEMA, toJobDto } from './ending-job.dto.js';
import { EndingJobs } from './ending-jobs.service.js';

const LIMIT = { byDefault: 100, most: 1_000 };

const ApiJobId = () => ApiParam({ name: 'jobId', example: 'job_0mig5h8ah_3fc1a2b49d07' });

/** Jobs that end sessions, for administrators. Not part of the Matrix specification. */
@Controller('/_session/v1/admin/jobs')
@ApiTags('Session management')
@ApiAccessToken()
export class EndingJobsController {
  constructor(private readonly jobs: EndingJobs) {}

  @Get()
  @ForServerAdmins('limit', 'from')
  @ApiOperation({ operationId: 'listJobs', summary: 'Jobs that end sessions, the latest first' })
  @ApiQuery({ name: 'limit', required: false, type: Number, description: `Default ${LIMIT.byDefault}.` })
  @ApiQuery({ name: 'from', required: false, type: String, description: 'The next_batch of an answer.' })
  @ApiOkResponse({
    schema: {
      type: 'object',
      properties: { jobs: { type: 'array', items: JOB_SCHEMA }, next_batch: { type: 'string' } },
    },
  })
  async list(@Query() query: Record<string, unknown>): Promise<object> {
    const limit = readLimit(query['limit'], LIMIT);
    const jobs = await this.jobs.list(readName('from', query['from']), limit);
    const last = jobs.length === limit ? jobs.at(-1) : undefined;
    return { jobs: jobs.map(toJobDto), ...(last === undefined ? {} : { next_batch: last.jobId }) };
  }

  @Get(':jobId')
  @ApiJobId()
  @ForServerAdmins()
  @ApiOperation({ operationId: 'getJob', summary: 'How far a job is' })
  @ApiOkResponse({ schema: JOB_SCHEMA })
  @ApiMatrixError(404, 'There is no such job.', ['M_NOT_FOUND'])
  async get(@Param('jobId') jobId: string): Promise<object> {
    return toJobDto(await this.jobs.get(jobId));
  }

  @Post(':jobId/cancel')
  @ApiJobId()
  @HttpCode(200)
  @ForServerAdmins()
  @WithoutBody()
  @ApiOperation({ operationId: 'cancelJob', summary: 'Stop a job: what has ended stays ended' })
  @ApiOkResponse({ schema: JOB_SCHEMA })
  @ApiMatrixError(404, 'There is no such job.', ['M_NOT_FOUND'])
  async cancel(
    @CurrentRequester() { userId: actor }: Requester,
    @Param('jobId') jobId: string,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    return toJobDto(await this.jobs.cancel(jobId, { actor, origin }));
  }

  @Post(':jobId/resume')
  @ApiJobId()
  @HttpCode(200)
  @ForServerAdmins()
  @WithoutBody()
  @ApiOperation({ operationId: 'resumeJob', summary: 'Go on with a job that was cancelled, where it was' })
  @ApiOkResponse({ schema: JOB_SCHEMA })
  @ApiMatrixError(404, 'There is no such job.', ['M_NOT_FOUND'])
  async resume(
    @CurrentRequester() { userId: actor }: Requester,
    @Param('jobId') jobId: string,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    return toJobDto(await this.jobs.resume(jobId, { actor, origin }));
  }
}
