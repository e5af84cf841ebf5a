import { Body, Controller, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { ForServerAdmins } from '../../admin-api/server-admin.decorator.js';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import type { Tx } from '../../database/tx.js';
import { ApiAccessToken, ApiMatrixError, ApiUserId } from '../../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { OptionalBody } from '../../matrix/json-body.guard.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { SessionService } from '../../session/session.service.js';
import { AdminUsers } from '../users/users.service.js';
import { PREVIEW_SCHEMA, toPreview } from './session.dto.js';
import { AdminSessions } from './sessions.service.js';

const LONGEST_REASON = 1_000;

const ApiDryRun = () =>
  ApiQuery({
    name: 'dry_run',
    required: false,
    type: Boolean,
    description: 'true: only count and show what would end.',
  });

/** Lets administrators end the sessions of others at once. Not part of the Matrix specification. */
@Controller('/_session/v1/admin')
@ApiTags('Session management')
@ApiAccessToken()
export class AdminLogoutController {
  constructor(
    private readonly ending: SessionService,
    private readonly users: AdminUsers,
    private readonly sessions: AdminSessions,
  ) {}

  @Post('users/:userId/logout')
  @ApiUserId()
  @HttpCode(200)
  @ForServerAdmins('device_id', 'dry_run', 'reason')
  @OptionalBody()
  @ApiOperation({
    operationId: 'adminLogout',
    summary: 'Ends every session of a user, or that of one device',
    description:
      'Tokens, devices and keys are gone, together, when this answers 200. The second call ends nothing; of a device it is 404. ' +
      'A body, and any other parameter, is refused: mistyped, it would end every session of the user.',
  })
  @ApiQuery({ name: 'device_id', required: false, type: String })
  @ApiQuery({ name: 'reason', required: false, type: String, description: 'Why, for the audit.' })
  @ApiDryRun()
  @ApiOkResponse({ description: 'Empty, or what would end.', schema: PREVIEW_SCHEMA })
  @ApiMatrixError(404, 'There is no such user, or the user has no such device.', ['M_NOT_FOUND'])
  async logout(
    @CurrentRequester() requester: Requester,
    @Param('userId') user: string,
    @Query()
    {
      device_id: deviceId,
      dry_run: dryRun,
      reason = null,
    }: { readonly device_id?: string; readonly dry_run?: string; readonly reason?: string | null },
    @Body() body: object,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const [strange] = Object.keys(body);
    if (strange !== undefined)
      throw MatrixError.invalidParam(`${strange} says nothing here: ?device_id= names a device`);
    if (reason !== null && (reason === '' || reason.length > LONGEST_REASON || !reason.isWellFormed()))
      throw MatrixError.invalidParam(`reason must have 1 to ${LONGEST_REASON} characters`);
    if (deviceId === '') throw MatrixError.invalidParam('device_id must be a device ID');
    const isDry = isDryRun(dryRun);
    const { userId } = await this.users.get(user);
    if (isDry) {
      const preview = await this.sessions.preview({ userId, deviceId });
      if (deviceId !== undefined && preview.count === 0) throw noDevice();
      return toPreview(preview);
    }
    const by = { ...origin, actor: requester.userId };
    const record = (tx: Tx) => this.users.recordReason(tx, userId, reason, by);
    if (deviceId === undefined) await this.ending.endAllNamed(userId, null, by, record);
    else if ((await this.ending.endNamed(userId, [deviceId], by, record)) === 0) throw noDevice();
    return {};
  }
}

function noDevice(): MatrixError {
  return MatrixError.notFound('The user has no such device');
}

/** @throws {MatrixError} `M_INVALID_PARAM` for anything that might be mistyped */
function isDryRun(text: string | undefined): boolean {
  if (text !== undefined && text !== 'true' && text !== 'false')
    throw MatrixError.invalidParam('dry_run must be true or false');
  return text === 'true';
}
