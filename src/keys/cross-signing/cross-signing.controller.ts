import { Body, Controller } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import {
  ApiAccessToken,
  ApiExample,
  ApiInteractiveAuth,
  ApiJsonBodyErrors,
  ApiMatrixError,
  EMPTY_OBJECT,
} from '../../matrix/api.decorators.js';
import { ClientAddress } from '../../matrix/client-address.decorator.js';
import { CLIENT_V3, MatrixPost } from '../../matrix/client-api.decorators.js';
import { RateLimited } from '../../admission/rate-limited.decorator.js';
import { CROSS_SIGNING_EXAMPLE } from '../keys.open-api.js';
import { UploadCrossSigningKeysDto } from './cross-signing.dto.js';
import { CrossSigningService } from './cross-signing.service.js';

/** Added after version 1.0, so it has no older path. */
@Controller(CLIENT_V3)
@ApiTags('End-to-end encryption')
@ApiAccessToken()
export class CrossSigningController {
  constructor(private readonly crossSigning: CrossSigningService) {}

  @MatrixPost('keys/device_signing/upload')
  @RateLimited('device_signing')
  @ApiOperation({
    operationId: 'uploadCrossSigningKeys',
    summary: 'Upload cross-signing keys',
    description:
      'The first keys, and those that are there already, need no password; a change of keys does. A new master key ' +
      'retires the other two unless they come with it. The keys are the user’s: no logout deletes them. ' +
      'The keys of the example are those of @alice:localhost.',
  })
  @ApiExample(UploadCrossSigningKeysDto, CROSS_SIGNING_EXAMPLE)
  @ApiOkResponse({ description: 'The keys are stored.', schema: EMPTY_OBJECT })
  @ApiJsonBodyErrors('M_INVALID_SIGNATURE', 'M_TOO_LARGE', 'M_UNKNOWN')
  @ApiInteractiveAuth()
  @ApiMatrixError(403, 'A device is called like the key, or the credentials are those of another user.', [
    'M_FORBIDDEN',
  ])
  async upload(
    @CurrentRequester() requester: Requester,
    @Body() { auth, ...keys }: UploadCrossSigningKeysDto,
    @ClientAddress() address: string,
  ): Promise<object> {
    const { master_key, self_signing_key, user_signing_key } = keys;
    await this.crossSigning.upload(requester, {
      keys: { master_key, self_signing_key, user_signing_key },
      auth,
      address,
    });
    return {};
  }
}
