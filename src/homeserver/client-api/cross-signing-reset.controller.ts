import { Body, Controller } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { RateLimited } from '../../admission/rate-limited.decorator.js';
import { CurrentRequester, PresentedToken } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import {
  ApiAccessToken,
  ApiInteractiveAuth,
  ApiJsonBodyErrors,
  ApiMatrixError,
  EMPTY_OBJECT,
} from '../../matrix/api.decorators.js';
import { CLIENT_V3, MatrixPost } from '../../matrix/client-api.decorators.js';
import { ClientAddress } from '../../matrix/client-address.decorator.js';
import { CrossSigningResetService } from './cross-signing-reset.service.js';

/** Cross-signing keys are the homeserver's. This endpoint adds the proof that their replacement needs. */
@Controller(CLIENT_V3)
@ApiTags('Homeserver')
@ApiAccessToken()
export class CrossSigningResetController {
  constructor(private readonly resets: CrossSigningResetService) {}

  @MatrixPost('keys/device_signing/upload')
  @RateLimited('device_signing')
  @ApiOperation({
    operationId: 'uploadCrossSigningKeys',
    summary: 'Upload cross-signing keys to the homeserver',
    description:
      'The first keys, and those that are there already, need no password; a change of keys does. The answer is that ' +
      'of the homeserver.',
  })
  @ApiOkResponse({ description: 'The homeserver has stored the keys.', schema: EMPTY_OBJECT })
  @ApiJsonBodyErrors('M_INVALID_PARAM', 'M_UNKNOWN')
  @ApiInteractiveAuth()
  @ApiMatrixError(403, 'The credentials are those of another user.', ['M_FORBIDDEN'])
  @ApiMatrixError(503, 'The homeserver does not answer.', ['M_UNKNOWN'])
  async upload(
    @CurrentRequester() requester: Requester,
    @PresentedToken() token: string | null,
    @Body() body: Record<string, unknown>,
    @ClientAddress() address: string,
  ): Promise<object> {
    return this.resets.upload(requester, { token: token!, body, address });
  }
}
