import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/auth.decorators.js';
import type { Statement } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Unavailable } from '../system/outage.js';
import { ApiMatrixError, EMPTY_OBJECT } from '../matrix/api.decorators.js';

const LOOK: Statement = {
  name: 'health_look',
  text: `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS "onlyReads"`,
};

/** Health of this node, for load balancers and container runtimes. Not part of the Matrix specification. */
@Controller('/health')
@ApiTags('Health')
@Public()
export class HealthController {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  @Get('live')
  @ApiOperation({ operationId: 'isLive', summary: 'Whether the process answers; it looks at nothing else' })
  @ApiOkResponse({ description: 'It does.', schema: EMPTY_OBJECT })
  live(): object {
    return {};
  }

  @Get('ready')
  @ApiOperation({
    operationId: 'isReady',
    summary: 'Whether the database answers this node, and may be written to',
  })
  @ApiOkResponse({ description: 'It does.', schema: EMPTY_OBJECT })
  @ApiMatrixError(503, 'It does not, at the moment.', ['M_UNKNOWN'])
  async ready(): Promise<object> {
    const [state] = await this.unitOfWork.query<{ onlyReads: boolean }>(LOOK);
    if (state!.onlyReads) throw new Unavailable('The database only reads');
    return {};
  }
}
