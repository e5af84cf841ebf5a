import { Body, Controller, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { AccountsService } from '../accounts/accounts.service.js';
import { CurrentRequester } from '../auth/auth.decorators.js';
import type { Requester } from '../auth/requester.js';
import { ForServerAdmins } from '../admin-api/server-admin.decorator.js';
import { requireWholeUserId } from '../admin-api/server-admin.rules.js';
import { Environment } from '../config/environment.js';
import { ApiAccessToken, ApiMatrixError, ApiUserId, EMPTY_OBJECT } from '../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../matrix/client-origin.decorator.js';
import { OptionalBody, WithoutBody } from '../matrix/json-body.guard.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { Clock } from '../system/clock.js';
import { StaleSessionsService } from './ending/stale-sessions.service.js';
import { SessionService } from './session.service.js';

/** Lets administrators end the sessions of other users. Not part of the Matrix specification. */
@Controller('/_session/v1/admin')
@ApiTags('Session management')
@ApiAccessToken()
export class SessionAdminController {
  constructor(
    private readonly sessions: SessionService,
    private readonly accounts: AccountsService,
    private readonly environment: Environment,
    private readonly stale: StaleSessionsService,
    private readonly clock: Clock,
  ) {}

  @Post('users/:userId/logout')
  @ApiUserId()
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
  @ApiMatrixError(404, 'There is no such user, or the user has no such device.', ['M_NOT_FOUND'])
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
    const by = { ...origin, actor: requester.userId };
    if (deviceId === undefined) await this.sessions.endAllNamed(userId, null, by);
    else if ((await this.sessions.endNamed(userId, [deviceId], by)) === 0)
      throw MatrixError.notFound('The user has no such device');
    return {};
  }

  @Post('logout')
  @HttpCode(200)
  @ForServerAdmins('before')
  @WithoutBody()
  @ApiOperation({
    operationId: 'adminLogoutBefore',
    summary: 'End all sessions that were started or last refreshed before a given time',
    description:
      'For a database that was restored from a backup, in which tokens that had been logged out live again. It ends ten ' +
      'thousand sessions at most: ask again until `done` is true. The caller’s own session may be among them.',
  })
  @ApiQuery({
    name: 'before',
    required: true,
    type: Number,
    description: 'Milliseconds since the epoch.',
    example: 1_763_900_000_000,
  })
  @ApiOkResponse({
    schema: { type: 'object', properties: { ended: { type: 'integer' }, done: { type: 'boolean' } } },
  })
  async logoutBefore(
    @CurrentRequester() requester: Requester,
    @Query('before') text: string | undefined,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const before = Number(text);
    // A time in seconds would be read as an instant in 1970 and end nothing.
    if (text === undefined || !/^\d{13}$/.test(text) || before > this.clock.now().getTime())
      throw MatrixError.invalidParam(
        'before must be a time that has passed, in milliseconds since the epoch',
      );
    return this.stale.end(new Date(before), { ...origin, actor: requester.userId });
  }
}
