import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { PUSH_WORKERS_URL, PushWorkersSubscriber } from './push-workers.subscriber.js';
import { PusherEntity } from './pusher.entity.js';
import { PushersController } from './pushers.controller.js';
import { PushersListener } from './pushers.listener.js';
import { PushersService } from './pushers.service.js';

@Module({})
export class PushersModule {
  static forRoot({ workersUrl }: { workersUrl: string | null }): DynamicModule {
    return {
      module: PushersModule,
      imports: [TypeOrmModule.forFeature([PusherEntity])],
      controllers: [PushersController],
      providers: [
        PushersService,
        PushersListener,
        PushWorkersSubscriber,
        { provide: PUSH_WORKERS_URL, useValue: workersUrl },
      ],
    };
  }
}
