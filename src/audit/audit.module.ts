import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuditController } from './audit.controller.js';
import { AuditEntryEntity } from './audit-entry.entity.js';
import { AuditHousekeeping } from './audit.housekeeping.js';
import { AuditListener } from './audit.listener.js';
import { AuditService } from './audit.service.js';
import { AuditStore } from './audit.store.js';

/** The audit log, for administrators: logins, ends of sessions and why, refusals; with address and user agent. */
@Global()
@Module({
  imports: [TypeOrmModule.forFeature([AuditEntryEntity])],
  controllers: [AuditController],
  providers: [AuditListener, AuditService, AuditStore, AuditHousekeeping],
  exports: [AuditService],
})
export class AuditModule {}
