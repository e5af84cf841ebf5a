import { Body, Get } from '@nestjs/common';
import {
  ClientController,
  CurrentDevice,
  CurrentRequester,
  MatrixError,
  MatrixPost,
  type Requester,
  type RequesterDevice,
} from 'matrix-session-service';
import { PushersService } from './pushers.service.js';
import { SetPusherDto } from './set-pusher.dto.js';

@ClientController()
export class PushersController {
  constructor(private readonly pushers: PushersService) {}

  @Get('pushers')
  async list(@CurrentRequester() { userId }: Requester): Promise<object> {
    return { pushers: await this.pushers.list(userId) };
  }

  @MatrixPost('pushers/set')
  async set(
    @CurrentDevice() device: RequesterDevice,
    @Body() request: SetPusherDto,
    @Body('kind') kind: unknown,
  ): Promise<object> {
    if (kind === undefined) throw MatrixError.missingParam('kind');
    if (kind === null) await this.pushers.remove(device.userId, request);
    else await this.pushers.set(device, request);
    return {};
  }
}
