import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/auth.decorators.js';
import { Unavailable } from '../system/outage.js';
import { ApiMatrixError, EMPTY_OBJECT } from '../matrix/api.decorators.js';
import { Readiness } from './readiness.js';

/** Health of this node, for load balancers and container runtimes. Not part of the Matrix specification. */
@Controller('/health')
@ApiTags('Health')
@Public()
export class HealthController {
  constructor(private readonly readiness: Readiness) {}

  @Get('live')
  @ApiOperation({ operationId: 'isLive', summary: 'Whether the process answers; it looks at nothing else' })
  @ApiOkResponse({ description: 'It does.', schema: EMPTY_OBJECT })
  live(): object {
    return {};
  }

  @Get('ready')
  @ApiOperation({
    operationId: 'isReady',
    summary: 'Whether this node should get requests',
    description:
      'The database answers, may be written to, and has the schema of this node. With READY_MAX_LAG, events are ' +
      'delivered in time. The node is not about to stop. Which check failed is told at METRICS_PORT only.',
  })
  @ApiOkResponse({ description: 'It should.', schema: EMPTY_OBJECT })
  @ApiMatrixError(503, 'It should not, at the moment.', ['M_UNKNOWN'])
  async ready(): Promise<object> {
    const { status } = await this.readiness.check();
    if (status !== 'ok') throw new Unavailable('The node is not ready');
    return {};
  }
}
