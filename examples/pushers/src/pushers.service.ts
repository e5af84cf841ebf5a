import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { MatrixError, type RequesterDevice, UnitOfWork } from 'matrix-session-service';
import { Not, QueryFailedError, type Repository } from 'typeorm';
import { PusherEntity } from './pusher.entity.js';
import type { SetPusherDto } from './set-pusher.dto.js';

const FOREIGN_KEY_VIOLATION = '23503';

@Injectable()
export class PushersService {
  constructor(
    private readonly unitOfWork: UnitOfWork,
    @InjectRepository(PusherEntity) private readonly pushers: Repository<PusherEntity>,
  ) {}

  async list(userId: string): Promise<object[]> {
    const rows = await this.pushers.find({ where: { userId }, order: { appId: 'ASC', pushkey: 'ASC' } });
    return rows.map(({ pusher }) => pusher);
  }

  async remove(userId: string, { app_id: appId, pushkey }: SetPusherDto): Promise<void> {
    await this.pushers.delete({ userId, appId, pushkey });
  }

  async set({ userId, deviceId }: RequesterDevice, { append, ...pusher }: SetPusherDto): Promise<void> {
    const { app_id: appId, pushkey } = pusher;
    requireGateway(pusher);
    try {
      await this.unitOfWork.run(async ({ manager }) => {
        // One device in one hand: whoever had this pushkey before has it no longer.
        if (!append) await manager.delete(PusherEntity, { appId, pushkey, userId: Not(userId) });
        await manager.upsert(PusherEntity, { userId, appId, pushkey, deviceId, pusher: { ...pusher } }, [
          'userId',
          'appId',
          'pushkey',
        ]);
      });
    } catch (error) {
      // The device was logged out while this request was on its way.
      const isGone =
        error instanceof QueryFailedError &&
        (error.driverError as { code?: string }).code === FOREIGN_KEY_VIOLATION;
      throw isGone ? MatrixError.unknownToken() : error;
    }
  }
}

/** An HTTP pusher needs the address of a push gateway. */
function requireGateway({ kind, data }: Pick<SetPusherDto, 'kind' | 'data'>): void {
  if (kind !== 'http') return;
  const { url } = data;
  if (typeof url !== 'string') throw MatrixError.missingParam('data.url');
  const { protocol = null, pathname = null } = URL.canParse(url) ? new URL(url) : {};
  if (protocol !== 'https:' || pathname !== '/_matrix/push/v1/notify')
    throw MatrixError.invalidParam('data.url must be https://…/_matrix/push/v1/notify');
}
