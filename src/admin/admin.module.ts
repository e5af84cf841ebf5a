import { Module } from '@nestjs/common';
import { AdminController } from './admin.controller.js';
import { AdminService } from './admin.service.js';

/** What administrators may do. */
@Module({ controllers: [AdminController], providers: [AdminService] })
export class AdminModule {}
