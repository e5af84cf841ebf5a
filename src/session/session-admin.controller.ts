import { Body, Controller, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { AccountsService } from '../accounts/accounts.service.js';
import { CurrentRequester } from '../auth/auth.decorators.js';
import type { Requester } from '../auth/requester.js';
import { ForServerAdmins } from '../auth/server-admin.decorator.js';
import { requireWholeUserId } from '../auth/server-admin.rules.js';
import { Environment } from '../config/environment.js';
import { ApiAccessToken, ApiMatrixError, EMPTY_OBJECT } from '../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../matrix/client-origin.decorator.js';
import { OptionalBody } from '../matrix/json-body.guard.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { SessionService } from './session.service.js';

/** Ends sessions of other users, for administrators. Not of the Matrix specification. */
@Controller('/_session/v1/admin/users/:userId/logout')
@ApiTags('Session management')
@ApiAccessToken()
@ApiMatrixError(404, 'There is no such user, or the user has no such device.', ['M_NOT_FOUND'])
export class SessionAdminController {
  constructor(
    private readonly sessions: SessionService,
    private readonly accounts: AccountsService,
    private readonly environment: Environment,
  ) {}

  @Post()
  @HttpCode(200)
  @ForServerAdmins('device_id')
  @OptionalBody()
  @ApiOperation({
    operationId: 'adminLogout',
    summary: 'Ends every session of a user, or that of one device',
    description:
      'Tokens, devices and keys are gone, together, when this answers 200. The second call ends nothing; of a device it is 404. ' +
      'A body, and any parameter but device_id, is refused: mistyped, it would end every session of the user.',
  })
  @ApiQuery({ name: 'device_id', required: false, type: String })
  @ApiOkResponse({ schema: EMPTY_OBJECT })
  async logout(
    @CurrentRequester() requester: Requester,
    @Param('userId') user: string,
    @Query('device_id') deviceId: string | undefined,
    @Body() body: object,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const [strange] = Object.keys(body);
    if (strange !== undefined)
      throw MatrixError.invalidParam(`${strange} says nothing here: ?device_id= names a device`);
    if (deviceId === '') throw MatrixError.invalidParam('device_id must be a device ID');
    const userId = requireWholeUserId(this.environment, user);
    if ((await this.accounts.findExactly(userId)) === null)
      throw MatrixError.notFound('There is no such user');
    if (!(await this.sessions.endByAdmin(userId, deviceId ?? null, requester, origin)))
      throw MatrixError.notFound('The user has no such device');
    return {};
  }
}
