import { Global, Module } from '@nestjs/common';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { DeviceBulk } from './device-bulk.js';
import { EventBus } from './event-bus.js';

@Global()
@Module({
  imports: [EventEmitterModule.forRoot({ maxListeners: 0 })],
  providers: [DeviceBulk, EventBus],
  exports: [DeviceBulk, EventBus],
})
export class EventsModule {}
