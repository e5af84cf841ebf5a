import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/auth.decorators.js';
import type { Statement } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { ApiMatrixError, EMPTY_OBJECT } from '../matrix/api.decorators.js';

const PING: Statement = { name: 'health_ping', text: 'SELECT 1' };

/** Whether this node is well, for load balancers and container runtimes. Not of the Matrix specification. */
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
  @ApiOperation({ operationId: 'isReady', summary: 'Whether the database answers this node' })
  @ApiOkResponse({ description: 'It does.', schema: EMPTY_OBJECT })
  @ApiMatrixError(503, 'It does not, at the moment.', ['M_UNKNOWN'])
  async ready(): Promise<object> {
    await this.unitOfWork.query(PING);
    return {};
  }
}
