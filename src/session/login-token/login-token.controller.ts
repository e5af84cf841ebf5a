import { Body, Controller } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { OnAccountPage } from '../../auth/account-page.guard.js';
import { CurrentDevice, CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester, RequesterDevice } from '../../auth/requester.js';
import {
  ApiAccessToken,
  ApiExample,
  ApiInteractiveAuth,
  ApiJsonBodyErrors,
} from '../../matrix/api.decorators.js';
import { ClientAddress } from '../../matrix/client-address.decorator.js';
import { CLIENT_V1, MatrixPost } from '../../matrix/client-api.decorators.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { RateLimited } from '../../admission/rate-limited.decorator.js';
import { RateLimiter } from '../../admission/rate-limiter.js';
import { InteractiveAuthDto } from '../../uia/interactive-auth.dto.js';
import { UiaService } from '../../uia/uia.service.js';
import { LoginTokenService } from './login-token.service.js';

/** The default that the specification recommends. */
const LIFETIME_MS = 120_000;

@Controller(CLIENT_V1)
@ApiTags('Session management')
@ApiAccessToken()
export class LoginTokenController {
  constructor(
    private readonly uia: UiaService,
    private readonly loginTokens: LoginTokenService,
    private readonly limiter: RateLimiter,
  ) {}

  @MatrixPost('login/get_token')
  @OnAccountPage()
  @ApiOperation({
    operationId: 'generateLoginToken',
    summary: 'A token with which another client of the user logs in',
    description: 'Asks for the password every time. The token is good for one login within two minutes.',
  })
  @ApiExample(InteractiveAuthDto, {
    auth: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'alice' },
      password: 'down-the-rabbit-hole',
    },
  })
  @ApiOkResponse({
    description: 'The login token.',
    schema: { example: { login_token: 'mxl_YWxpY2U_…', expires_in_ms: LIFETIME_MS } },
  })
  @ApiJsonBodyErrors('M_UNKNOWN')
  @ApiInteractiveAuth()
  @RateLimited('challenge')
  async getToken(
    @CurrentRequester() requester: Requester,
    @CurrentDevice() device: RequesterDevice,
    @Body() { auth }: InteractiveAuthDto,
    @ClientAddress() address: string,
  ): Promise<object> {
    const { userId, deviceId } = device;
    if (requester.isAppservice)
      throw MatrixError.invalidParam('An application service has no password to prove itself with');
    const proof = await this.uia.authorise({
      name: 'POST /login/get_token',
      userId,
      deviceId,
      flows: [['m.login.password']],
      parameters: {},
      auth,
      address,
    });
    // Each proof is good for one token only.
    if (proof.result !== null) throw MatrixError.unknownSession();
    await this.limiter.count('get_token', userId);
    return {
      login_token: await this.loginTokens.issue(requester, { userId, deviceId }, LIFETIME_MS, async (tx) => {
        if ((await this.uia.hold(tx, proof)) !== null) throw MatrixError.unknownSession();
        await this.uia.finish(tx, proof);
      }),
      expires_in_ms: LIFETIME_MS,
    };
  }
}
