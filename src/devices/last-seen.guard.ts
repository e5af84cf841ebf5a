import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import type { Requester } from '../auth/requester.js';
import { clientAddressOf } from '../matrix/client-address.js';
import { LastSeenService } from './last-seen.service.js';

/** Records the device of every request that passed the bearer guard as seen. It refuses no request. */
@Injectable()
export class LastSeenGuard implements CanActivate {
  constructor(private readonly lastSeen: LastSeenService) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<Request>();
    const { device = null } = (request.user as Requester | undefined) ?? {};
    if (device !== null) this.lastSeen.see(device, clientAddressOf(request), request.headers['user-agent']);
    return true;
  }
}
