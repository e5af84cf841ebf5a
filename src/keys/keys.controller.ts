import { Body } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentDevice, CurrentRequester, GuestsAllowed } from '../auth/auth.decorators.js';
import type { Requester, RequesterDevice } from '../auth/requester.js';
import { ApiAccessToken, ApiExample, ApiJsonBodyErrors } from '../matrix/api.decorators.js';
import { ClientController, MatrixPost } from '../matrix/client-api.decorators.js';
import { RateLimited } from '../admission/rate-limited.decorator.js';
import { ClaimedKeysDto, ClaimKeysDto } from './claim-keys.dto.js';
import { ClaimsService } from './claims.service.js';
import { UPLOAD_EXAMPLE } from './keys.open-api.js';
import { KeyQueryService } from './key-query.service.js';
import { KeysService } from './keys.service.js';
import { QueriedKeysDto, QueryKeysDto } from './query-keys.dto.js';
import { KeyCountsDto, UploadKeysDto } from './upload-keys.dto.js';

@ClientController()
@ApiTags('End-to-end encryption')
@ApiAccessToken()
@GuestsAllowed()
export class KeysController {
  constructor(
    private readonly keys: KeysService,
    private readonly queries: KeyQueryService,
    private readonly claims: ClaimsService,
  ) {}

  @MatrixPost('keys/upload')
  @RateLimited('keys_upload')
  @ApiOperation({
    operationId: 'uploadKeys',
    summary: 'Publishes end-to-end encryption keys for the device',
    description: 'The keys of the example are those of the device GHTYAJCE of @alice:localhost.',
  })
  @ApiExample(UploadKeysDto, UPLOAD_EXAMPLE)
  @ApiOkResponse({ description: 'The keys are stored.', type: KeyCountsDto })
  @ApiJsonBodyErrors('M_TOO_LARGE')
  async upload(
    @CurrentDevice() device: RequesterDevice,
    @Body() request: UploadKeysDto,
  ): Promise<KeyCountsDto> {
    return { one_time_key_counts: await this.keys.upload(device, request) };
  }

  @MatrixPost('keys/query')
  @RateLimited('keys_query')
  @ApiOperation({ operationId: 'queryKeys', summary: 'Download device identity keys' })
  @ApiExample(QueryKeysDto, { device_keys: { '@alice:localhost': [] } })
  @ApiOkResponse({ description: 'The identity keys.', type: QueriedKeysDto })
  @ApiJsonBodyErrors('M_TOO_LARGE')
  query(@CurrentRequester() requester: Requester, @Body() request: QueryKeysDto): Promise<QueriedKeysDto> {
    return this.queries.query(requester, request);
  }

  @MatrixPost('keys/claim')
  @RateLimited('keys_claim')
  @ApiOperation({
    operationId: 'claimKeys',
    summary: 'Claim one-time encryption keys',
    description:
      'Each one-time key is given out once, ever, those uploaded first before the others. When a device has none left, ' +
      'its fallback key is given instead.',
  })
  @ApiExample(ClaimKeysDto, { one_time_keys: { '@alice:localhost': { GHTYAJCE: 'signed_curve25519' } } })
  @ApiOkResponse({ description: 'The claimed keys.', type: ClaimedKeysDto })
  @ApiJsonBodyErrors()
  claim(@Body() request: ClaimKeysDto): Promise<ClaimedKeysDto> {
    return this.claims.claim(request);
  }
}
