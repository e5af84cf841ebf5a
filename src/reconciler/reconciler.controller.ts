import { Controller, HttpCode, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { CurrentRequester } from '../auth/auth.decorators.js';
import type { Requester } from '../auth/requester.js';
import { requireServerAdmin } from '../auth/server-admin.rules.js';
import { Environment } from '../config/environment.js';
import { ApiAccessToken, ApiMatrixError } from '../matrix/api.decorators.js';
import { WithoutBody } from '../matrix/json-body.guard.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { ReconcilerService } from './reconciler.service.js';

/** A look through everything, for administrators. Not of the Matrix specification. */
@Controller('/_session/v1/admin/reconcile')
@ApiTags('Reconciler')
@ApiAccessToken()
@ApiMatrixError(403, 'The caller is no administrator.', ['M_FORBIDDEN'])
export class ReconcilerController {
  constructor(
    private readonly reconciler: ReconcilerService,
    private readonly environment: Environment,
  ) {}

  @Post()
  @HttpCode(200)
  @WithoutBody()
  @ApiOperation({ operationId: 'reconcile', summary: 'Look for what should be impossible, and mend it' })
  @ApiQuery({ name: 'dry_run', required: false, enum: ['true', 'false'], description: 'Default: true.' })
  @ApiOkResponse({
    schema: { type: 'object', properties: { findings: { type: 'array', items: { type: 'object' } } } },
  })
  @ApiMatrixError(400, 'dry_run is wrong.', ['M_INVALID_PARAM'])
  async reconcile(
    @CurrentRequester() requester: Requester,
    @Query('dry_run') dryRun: unknown = 'true',
  ): Promise<object> {
    requireServerAdmin(this.environment, requester);
    if (dryRun !== 'true' && dryRun !== 'false')
      throw MatrixError.invalidParam('dry_run must be true or false');
    return { dry_run: dryRun === 'true', findings: await this.reconciler.lookThrough(dryRun === 'false') };
  }
}
