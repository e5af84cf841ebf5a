import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { Request } from 'express';
import type { Observable } from 'rxjs';
import type { Requester } from '../auth/requester.js';
import { LastSeenService } from './last-seen.service.js';

/** Every request that came through the guard shows that its device is alive. */
@Injectable()
export class LastSeenInterceptor implements NestInterceptor {
  constructor(private readonly lastSeen: LastSeenService) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { user, ip, headers } = context.switchToHttp().getRequest<Request>();
    const { device = null } = (user as Requester | undefined) ?? {};
    if (device !== null) this.lastSeen.see(device, ip ?? 'unknown', headers['user-agent']);
    return next.handle();
  }
}
