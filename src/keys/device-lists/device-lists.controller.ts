import { Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import { ApiAccessToken, ApiMatrixError } from '../../matrix/api.decorators.js';
import { ClientController } from '../../matrix/client-api.decorators.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { type ChangedUsers, DeviceListsService } from './device-lists.service.js';

const TOKEN = { type: 'string', example: 'mdl_1763900000000000' } as const;

@ClientController()
@ApiTags('End-to-end encryption')
@ApiAccessToken()
export class DeviceListsController {
  constructor(private readonly deviceLists: DeviceListsService) {}

  @Get('keys/changes')
  @ApiOperation({
    operationId: 'getKeysChanges',
    summary: 'Query users with recent device key updates',
    description:
      'Tokens are positions in the log of device-list changes, as a sync server hands them out with its own.',
  })
  @ApiQuery({ name: 'from', ...TOKEN })
  @ApiQuery({ name: 'to', ...TOKEN })
  @ApiOkResponse({
    description:
      'Users whose devices or keys have changed, and users whom the client need not follow any more.',
    schema: { example: { changed: ['@alice:localhost'], left: [] } },
  })
  @ApiMatrixError(400, 'A token is missing, or not of this service.', ['M_MISSING_PARAM', 'M_INVALID_PARAM'])
  changes(
    @CurrentRequester() { userId }: Requester,
    @Query('from') from: unknown,
    @Query('to') to: unknown,
  ): Promise<ChangedUsers> {
    return this.deviceLists.changesFor(userId, once('from', from), once('to', to));
  }
}

function once(name: string, value: unknown): string {
  if (value === undefined) throw MatrixError.missingParam(name);
  if (typeof value !== 'string') throw MatrixError.invalidParam(`${name} may be given once`);
  return value;
}
