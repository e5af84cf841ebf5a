import { Body } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { OnAccountPage } from '../../auth/account-page.guard.js';
import { CurrentRequester, PresentedToken, TokenOptional } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import {
  ApiAccessToken,
  ApiExample,
  ApiInteractiveAuth,
  ApiJsonBodyErrors,
  ApiMatrixError,
  EMPTY_OBJECT,
} from '../../matrix/api.decorators.js';
import { Homeserver } from '../../homeserver/homeserver.port.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { ClientController, MatrixPost } from '../../matrix/client-api.decorators.js';
import { RateLimited } from '../../admission/rate-limited.decorator.js';
import { ChangePasswordDto, DeactivateDto } from './account.dto.js';
import { AccountManagementService } from './account-management.service.js';

@ClientController()
@ApiTags('Account management')
@ApiAccessToken()
@TokenOptional()
export class AccountController {
  constructor(
    private readonly account: AccountManagementService,
    private readonly homeserver: Homeserver,
  ) {}

  @MatrixPost('account/password')
  @OnAccountPage()
  @ApiOperation({
    operationId: 'changePassword',
    summary: "Changes a user's password",
    description:
      'Asks for the old password. The calling session stays, its refresh token included; the other devices and all ' +
      'that hangs on them are deleted in the same commit, unless `logout_devices` is false.',
  })
  @ApiExample(ChangePasswordDto, {
    new_password: 'through-the-looking-glass',
    auth: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'alice' },
      password: 'down-the-rabbit-hole',
    },
  })
  @ApiOkResponse({ description: 'The password has been changed.', schema: EMPTY_OBJECT })
  @ApiJsonBodyErrors('M_WEAK_PASSWORD', 'M_UNKNOWN')
  @ApiInteractiveAuth()
  @ApiMatrixError(403, 'The credentials are those of another user.', ['M_FORBIDDEN'])
  @RateLimited('challenge')
  async changePassword(
    @CurrentRequester() requester: Requester | null,
    @Body() request: ChangePasswordDto,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    await this.account.changePassword(requester, request, origin);
    return {};
  }

  @MatrixPost('account/deactivate')
  @OnAccountPage()
  @ApiOperation({
    operationId: 'deactivateAccount',
    summary: "Deactivate a user's account",
    description:
      'Every session, device and key of the user, cross-signing keys included, is deleted in the same commit. The name ' +
      'stays taken.',
  })
  @ApiExample(DeactivateDto, {
    auth: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'alice' },
      password: 'down-the-rabbit-hole',
    },
  })
  @ApiOkResponse({
    description: 'The account has been deactivated.',
    schema: { example: { id_server_unbind_result: 'success' } },
  })
  @ApiJsonBodyErrors('M_WEAK_PASSWORD', 'M_UNKNOWN')
  @ApiInteractiveAuth()
  @ApiMatrixError(403, 'The credentials are those of another user.', ['M_FORBIDDEN'])
  @RateLimited('challenge')
  async deactivate(
    @CurrentRequester() requester: Requester | null,
    @Body() request: DeactivateDto,
    @ClientOrigin() origin: Origin,
    @PresentedToken() token: string | null,
  ): Promise<object> {
    await this.account.deactivate(requester, request, origin);
    if (requester !== null && requester.tokenDigest !== null && token !== null)
      await this.homeserver.forgetToken(token);
    return { id_server_unbind_result: 'success' };
  }
}
