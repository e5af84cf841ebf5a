import { Body } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentDevice, GuestsAllowed } from '../auth/auth.decorators.js';
import type { RequesterDevice } from '../auth/requester.js';
import { ApiAccessToken, ApiJsonBodyErrors } from '../matrix/api.decorators.js';
import { ClientController, MatrixPost } from '../matrix/client-api.decorators.js';
import { KeysService } from './keys.service.js';
import { QueriedKeysDto, QueryKeysDto } from './query-keys.dto.js';
import { KeyCountsDto, UploadKeysDto } from './upload-keys.dto.js';

@ClientController()
@ApiTags('End-to-end encryption')
@ApiAccessToken()
@GuestsAllowed()
export class KeysController {
  constructor(private readonly keys: KeysService) {}

  @MatrixPost('keys/upload')
  @ApiOperation({ operationId: 'uploadKeys', summary: 'Publishes end-to-end encryption keys for the device' })
  @ApiOkResponse({ description: 'The keys are stored.', type: KeyCountsDto })
  @ApiJsonBodyErrors()
  async upload(
    @CurrentDevice() device: RequesterDevice,
    @Body() request: UploadKeysDto,
  ): Promise<KeyCountsDto> {
    return { one_time_key_counts: await this.keys.upload(device, request) };
  }

  @MatrixPost('keys/query')
  @ApiOperation({ operationId: 'queryKeys', summary: 'Download device identity keys' })
  @ApiOkResponse({ description: 'The identity keys.', type: QueriedKeysDto })
  @ApiJsonBodyErrors()
  query(@Body() request: QueryKeysDto): Promise<QueriedKeysDto> {
    return this.keys.query(request);
  }
}
