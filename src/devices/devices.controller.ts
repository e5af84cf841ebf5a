import { Get, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentRequester, GuestsAllowed } from '../auth/auth.decorators.js';
import type { Requester } from '../auth/requester.js';
import { ApiAccessToken, ApiMatrixError } from '../matrix/api.decorators.js';
import { ClientController } from '../matrix/client-api.decorators.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { DeviceDto, DevicesDto, toDevice } from './device.dto.js';
import { DevicesStore } from './devices.store.js';

@ClientController()
@ApiTags('Device management')
@ApiAccessToken()
@GuestsAllowed()
export class DevicesController {
  constructor(private readonly store: DevicesStore) {}

  @Get('devices')
  @ApiOperation({ operationId: 'getDevices', summary: 'List registered devices for the current user' })
  @ApiOkResponse({ description: 'The devices of the user.', type: DevicesDto })
  async list(@CurrentRequester() { userId }: Requester): Promise<DevicesDto> {
    return { devices: (await this.store.list(userId)).map(toDevice) };
  }

  @Get('devices/:deviceId')
  @ApiOperation({ operationId: 'getDevice', summary: 'Get a single device' })
  @ApiOkResponse({ description: 'The device.', type: DeviceDto })
  @ApiMatrixError(404, 'The user has no device of this ID.', ['M_NOT_FOUND'])
  async get(
    @CurrentRequester() { userId }: Requester,
    @Param('deviceId') deviceId: string,
  ): Promise<DeviceDto> {
    const device = await this.store.find({ userId, deviceId });
    if (device === null) throw MatrixError.notFound('The user has no device of this ID');
    return toDevice(device);
  }
}
