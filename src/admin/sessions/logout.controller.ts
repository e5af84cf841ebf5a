import { Body, Controller, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { ForServerAdmins } from '../../admin-api/server-admin.decorator.js';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import type { Tx } from '../../database/tx.js';
import { ApiAccessToken, ApiMatrixError, ApiUserId } from '../../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { OptionalBody, WithoutBody } from '../../matrix/json-body.guard.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { StaleSessionsService } from '../../session/ending/stale-sessions.service.js';
import { SessionService } from '../../session/session.service.js';
import { Clock } from '../../system/clock.js';
import { AdminUsers } from '../users/users.service.js';
import { PREVIEW_SCHEMA, toPreview } from './session.dto.js';
import { AdminSessions } from './sessions.service.js';

const LONGEST_REASON = 1_000;
/** How many sessions a dry run names. */
const SHOWN = 100;

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
    private readonly stale: StaleSessionsService,
    private readonly clock: Clock,
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

  @Post('logout')
  @HttpCode(200)
  @ForServerAdmins('before', 'dry_run')
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
  @ApiDryRun()
  @ApiOkResponse({
    schema: { type: 'object', properties: { ended: { type: 'integer' }, done: { type: 'boolean' } } },
  })
  async logoutBefore(
    @CurrentRequester() requester: Requester,
    @Query() { before: text, dry_run: dryRun }: { readonly before?: string; readonly dry_run?: string },
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const before = Number(text);
    // A time in seconds would be read as an instant in 1970 and end nothing.
    if (text === undefined || !/^\d{13}$/.test(text) || before > this.clock.now().getTime())
      throw MatrixError.invalidParam(
        'before must be a time that has passed, in milliseconds since the epoch',
      );
    if (!isDryRun(dryRun)) return this.stale.end(new Date(before), { ...origin, actor: requester.userId });
    const { count, sessions } = await this.stale.preview(new Date(before), SHOWN);
    const shown = sessions.map(({ userId, deviceId }) => ({ user_id: userId, device_id: deviceId }));
    return { dry_run: true, count, sessions: shown };
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
