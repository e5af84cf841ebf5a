import { Body } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import { ApiAccessToken, ApiJsonBodyErrors } from '../../matrix/api.decorators.js';
import { ClientController, MatrixPost } from '../../matrix/client-api.decorators.js';
import { RateLimited } from '../../admission/rate-limited.decorator.js';
import { SIGNATURES_EXAMPLE } from '../keys.open-api.js';
import { type Failures, SignaturesService } from './signatures.service.js';

@ClientController()
@ApiTags('End-to-end encryption')
@ApiAccessToken()
export class SignaturesController {
  constructor(private readonly signatures: SignaturesService) {}

  @MatrixPost('keys/signatures/upload')
  @RateLimited('keys_upload')
  @ApiOperation({
    operationId: 'uploadCrossSigningSignatures',
    summary: 'Upload cross-signing signatures',
    description:
      'Good signatures are stored, whatever becomes of the others; those are told in `failures`, each with a reason. ' +
      'The example signs the keys of the other examples.',
  })
  @ApiBody({
    schema: {
      type: 'object',
      additionalProperties: { type: 'object', additionalProperties: { type: 'object' } },
    },
    examples: { example: { value: SIGNATURES_EXAMPLE } },
    description: 'Signed objects by user, and by device ID or public key.',
  })
  @ApiOkResponse({
    description: 'What could not be stored.',
    schema: { example: { failures: {} } },
  })
  @ApiJsonBodyErrors()
  async upload(
    @CurrentRequester() requester: Requester,
    @Body() body: object,
  ): Promise<{ failures: Failures }> {
    return { failures: await this.signatures.upload(requester, body) };
  }
}
