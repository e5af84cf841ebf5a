import { Body, Delete, Get, HttpStatus, Param, Put, Res } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { OnAccountPage } from '../auth/account-page.guard.js';
import { CurrentRequester, GuestsAllowed } from '../auth/auth.decorators.js';
import type { Requester } from '../auth/requester.js';
import {
  ApiAccessToken,
  ApiDeviceId,
  ApiExample,
  ApiInteractiveAuth,
  ApiJsonBodyErrors,
  ApiMatrixError,
  EMPTY_OBJECT,
} from '../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../matrix/client-origin.decorator.js';
import { ClientController, MatrixPost } from '../matrix/client-api.decorators.js';
import { OptionalBody } from '../matrix/json-body.guard.js';
import { RateLimited } from '../admission/rate-limited.decorator.js';
import { InteractiveAuthDto } from '../uia/interactive-auth.dto.js';
import { DeleteDevicesDto, DeviceDto, DevicesDto, toDevice, UpdateDeviceDto } from './device.dto.js';
import { DeviceDeletionService } from './device-deletion.service.js';
import { DevicesService } from './devices.service.js';

@ClientController()
@ApiTags('Device management')
@ApiAccessToken()
export class DevicesController {
  constructor(
    private readonly devices: DevicesService,
    private readonly deletion: DeviceDeletionService,
  ) {}

  @Get('devices')
  @GuestsAllowed()
  @ApiOperation({ operationId: 'getDevices', summary: 'List registered devices for the current user' })
  @ApiOkResponse({ description: 'The devices of the user.', type: DevicesDto })
  async list(@CurrentRequester() { userId }: Requester): Promise<DevicesDto> {
    return { devices: (await this.devices.list(userId)).map(toDevice) };
  }

  @Get('devices/:deviceId')
  @ApiDeviceId()
  @GuestsAllowed()
  @ApiOperation({ operationId: 'getDevice', summary: 'Get a single device' })
  @ApiOkResponse({ description: 'The device.', type: DeviceDto })
  @ApiMatrixError(404, 'The user has no device of this ID.', ['M_NOT_FOUND'])
  async get(
    @CurrentRequester() { userId }: Requester,
    @Param('deviceId') deviceId: string,
  ): Promise<DeviceDto> {
    return toDevice(await this.devices.get({ userId, deviceId }));
  }

  @Put('devices/:deviceId')
  @ApiDeviceId()
  @GuestsAllowed()
  @ApiOperation({
    operationId: 'updateDevice',
    summary: 'Update a device',
    description: 'Gives the device a name. An application service makes the device when it is not there.',
  })
  @ApiExample(UpdateDeviceDto, { display_name: 'Kitchen' })
  @ApiOkResponse({ description: 'The device was updated.', schema: EMPTY_OBJECT })
  @ApiCreatedResponse({
    description: 'The device was made, for an application service.',
    schema: EMPTY_OBJECT,
  })
  @ApiJsonBodyErrors('M_TOO_LARGE')
  @ApiMatrixError(403, 'The ID of the new device is that of a cross-signing key.', ['M_FORBIDDEN'])
  @ApiMatrixError(404, 'The user has no device of this ID.', ['M_NOT_FOUND'])
  async update(
    @CurrentRequester() requester: Requester,
    @Param('deviceId') deviceId: string,
    @Body() { display_name }: UpdateDeviceDto,
    @ClientOrigin() origin: Origin,
    @Res({ passthrough: true }) response: Response,
  ): Promise<object> {
    const isNew = await this.devices.update(requester, deviceId, display_name ?? null, origin);
    if (isNew) response.status(HttpStatus.CREATED);
    return {};
  }

  @Delete('devices/:deviceId')
  @OnAccountPage()
  @ApiDeviceId()
  @OptionalBody()
  @ApiOperation({
    operationId: 'deleteDevice',
    summary: 'Delete a device',
    description:
      'Deletes the device, its tokens, its keys and the signatures on them in one commit. Asks for the password; ' +
      'without a body, too. A device that is not there is as good as deleted.',
  })
  @ApiExample(InteractiveAuthDto, {
    auth: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'alice' },
      password: 'down-the-rabbit-hole',
    },
  })
  @ApiOkResponse({ description: 'The device is gone.', schema: EMPTY_OBJECT })
  @ApiJsonBodyErrors('M_TOO_LARGE', 'M_UNKNOWN')
  @ApiInteractiveAuth()
  @RateLimited('challenge')
  @ApiMatrixError(403, 'The credentials are those of another user.', ['M_FORBIDDEN'])
  async delete(
    @CurrentRequester() requester: Requester,
    @Param('deviceId') deviceId: string,
    @Body() { auth }: InteractiveAuthDto,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const name = `DELETE /devices/${deviceId}`;
    await this.deletion.delete(requester, { name, auth, origin, deviceIds: [deviceId] });
    return {};
  }

  @MatrixPost('delete_devices')
  @OnAccountPage()
  @ApiOperation({
    operationId: 'deleteDevices',
    summary: 'Bulk deletion of devices',
    description:
      'Deletes the devices, all in one commit. Asks for the password once. An empty list deletes nothing.',
  })
  @ApiExample(DeleteDevicesDto, {
    devices: ['GHTYAJCE'],
    auth: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'alice' },
      password: 'down-the-rabbit-hole',
    },
  })
  @ApiOkResponse({ description: 'The devices are gone.', schema: EMPTY_OBJECT })
  @ApiJsonBodyErrors('M_TOO_LARGE', 'M_UNKNOWN')
  @ApiInteractiveAuth()
  @RateLimited('challenge')
  @ApiMatrixError(403, 'The credentials are those of another user.', ['M_FORBIDDEN'])
  async deleteMany(
    @CurrentRequester() requester: Requester,
    @Body() { devices: deviceIds, auth }: DeleteDevicesDto,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    await this.deletion.delete(requester, { name: 'POST /delete_devices', auth, origin, deviceIds });
    return {};
  }
}
