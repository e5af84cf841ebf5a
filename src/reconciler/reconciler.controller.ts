import { Controller, HttpCode, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { ForServerAdmins } from '../admin-api/server-admin.decorator.js';
import { ApiAccessToken } from '../matrix/api.decorators.js';
import { WithoutBody } from '../matrix/json-body.guard.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { ReconcilerService } from './reconciler.service.js';

/** Lets administrators check everything. Not part of the Matrix specification. */
@Controller('/_session/v1/admin/reconcile')
@ApiTags('Reconciler')
@ApiAccessToken()
export class ReconcilerController {
  constructor(private readonly reconciler: ReconcilerService) {}

  @Post()
  @HttpCode(200)
  @ForServerAdmins('dry_run')
  @WithoutBody()
  @ApiOperation({ operationId: 'reconcile', summary: 'Look for inconsistent rows and repair them' })
  @ApiQuery({ name: 'dry_run', required: false, enum: ['true', 'false'], description: 'Default: true.' })
  @ApiOkResponse({
    schema: { type: 'object', properties: { findings: { type: 'array', items: { type: 'object' } } } },
  })
  async reconcile(@Query('dry_run') dryRun: unknown = 'true'): Promise<object> {
    if (dryRun !== 'true' && dryRun !== 'false')
      throw MatrixError.invalidParam('dry_run must be true or false');
    return { dry_run: dryRun === 'true', findings: await this.reconciler.lookThrough(dryRun === 'false') };
  }
}
