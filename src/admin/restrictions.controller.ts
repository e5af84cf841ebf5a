import { Body, Controller, Get, Param, Put } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentRequester } from '../auth/auth.decorators.js';
import type { Requester } from '../auth/requester.js';
import { ForServerAdmins } from '../admin-api/server-admin.decorator.js';
import {
  ApiAccessToken,
  ApiExample,
  ApiJsonBodyErrors,
  ApiMatrixError,
  ApiUserId,
} from '../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../matrix/client-origin.decorator.js';
import { CLIENT_V1 } from '../matrix/client-api.decorators.js';
import { LockedDto, SuspendedDto } from './restrictions.dto.js';
import { RestrictionsService } from './restrictions.service.js';

@Controller(`${CLIENT_V1}/admin`)
@ApiTags('Server administration')
@ApiAccessToken()
@ApiMatrixError(400, 'The user is not of this server, or the body not of the right shape.', [
  'M_INVALID_PARAM',
  'M_BAD_JSON',
])
@ApiMatrixError(403, 'The caller is no administrator, or the target is one.', ['M_FORBIDDEN'])
@ApiMatrixError(404, 'There is no such user.', ['M_NOT_FOUND'])
export class RestrictionsController {
  constructor(private readonly restrictions: RestrictionsService) {}

  @ForServerAdmins()
  @Get('lock/:userId')
  @ApiUserId()
  @ApiOperation({ operationId: 'getAdminLockUser', summary: 'Whether a user is locked' })
  @ApiOkResponse({ type: LockedDto })
  async isLocked(
    @CurrentRequester() requester: Requester,
    @Param('userId') userId: string,
  ): Promise<LockedDto> {
    return { locked: await this.restrictions.is('locked', requester, userId) };
  }

  @ForServerAdmins()
  @Put('lock/:userId')
  @ApiUserId()
  @ApiOperation({ operationId: 'setAdminLockUser', summary: 'Lock or unlock a user' })
  @ApiExample(LockedDto, { locked: true })
  @ApiOkResponse({ type: LockedDto })
  @ApiJsonBodyErrors()
  async lock(
    @CurrentRequester() requester: Requester,
    @Param('userId') userId: string,
    @Body() { locked }: LockedDto,
    @ClientOrigin() origin: Origin,
  ): Promise<LockedDto> {
    await this.restrictions.set('locked', locked, requester, userId, origin);
    return { locked };
  }

  @ForServerAdmins()
  @Get('suspend/:userId')
  @ApiUserId()
  @ApiOperation({ operationId: 'getAdminSuspendUser', summary: 'Whether a user is suspended' })
  @ApiOkResponse({ type: SuspendedDto })
  async isSuspended(
    @CurrentRequester() requester: Requester,
    @Param('userId') userId: string,
  ): Promise<SuspendedDto> {
    return { suspended: await this.restrictions.is('suspended', requester, userId) };
  }

  @ForServerAdmins()
  @Put('suspend/:userId')
  @ApiUserId()
  @ApiOperation({ operationId: 'setAdminSuspendUser', summary: 'Suspend a user, or lift it' })
  @ApiExample(SuspendedDto, { suspended: true })
  @ApiOkResponse({ type: SuspendedDto })
  @ApiJsonBodyErrors()
  async suspend(
    @CurrentRequester() requester: Requester,
    @Param('userId') userId: string,
    @Body() { suspended }: SuspendedDto,
    @ClientOrigin() origin: Origin,
  ): Promise<SuspendedDto> {
    await this.restrictions.set('suspended', suspended, requester, userId, origin);
    return { suspended };
  }
}
