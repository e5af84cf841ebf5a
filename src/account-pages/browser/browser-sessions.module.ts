import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { BrowserSessionEntity } from './browser-session.entity.js';
import { BrowserSessionsHousekeeping } from './browser-sessions.housekeeping.js';
import { BrowserSessionsListener } from './browser-sessions.listener.js';
import { BrowserSessionsStore } from './browser-sessions.store.js';

/** Ends the sessions of browsers, also while there are no pages: they may come back. */
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([BrowserSessionEntity])],
  providers: [BrowserSessionsHousekeeping, BrowserSessionsListener, BrowserSessionsStore],
  exports: [BrowserSessionsStore],
})
export class BrowserSessionsModule {}
