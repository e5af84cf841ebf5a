import { Injectable } from '@nestjs/common';
import { MatrixError } from '../../matrix/matrix-error.js';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import { windowOf } from '../window.rules.js';
import { requireNetwork } from './network.rules.js';
import type { SessionFilter } from './session-filter.js';
import { type AdminSession, AdminSessionsStore } from './sessions.store.js';

/** How many windows one request looks at: a list may be shorter than asked for and still go on. */
const MOST_WINDOWS = 20;
/** How many sessions a dry run shows. */
const SHOWN = 100;

/** A part of a list. */
export interface SessionPage {
  readonly sessions: readonly AdminSession[];
  /** Where the list goes on; `null` at its end. */
  readonly next: DeviceRef | null;
}

/** What would end. */
export interface Preview {
  readonly count: number;
  readonly sessions: readonly AdminSession[];
}

/** Lists sessions of all users. */
@Injectable()
export class AdminSessions {
  constructor(private readonly store: AdminSessionsStore) {}

  /**
   * The next sessions behind one that meet a filter. A page may be short, even empty, although the list goes on.
   * @throws {MatrixError} `M_INVALID_PARAM` for a network that cannot be
   */
  async list(filter: SessionFilter, behind: DeviceRef | null, limit: number): Promise<SessionPage> {
    requireNetwork(filter.address);
    const sessions: AdminSession[] = [];
    let next = behind;
    for (let nth = 0; nth < MOST_WINDOWS; nth += 1) {
      const window = await this.store.look(filter, next, windowOf(limit, nth));
      sessions.push(...window.found);
      if (sessions.length > limit) return { sessions: sessions.slice(0, limit), next: sessions[limit - 1]! };
      next = window.next;
      if (next === null || sessions.length === limit) break;
    }
    return { sessions, next };
  }

  /**
   * Refuses an exception that is none: whoever mistypes the session to spare would end it.
   * @throws {MatrixError} `M_NOT_FOUND`
   */
  async requireExceptions({ except = [] }: SessionFilter): Promise<void> {
    const missing = except.length === 0 ? null : await this.store.missingOf(except);
    if (missing === null) return;
    const { userId, deviceId } = missing;
    throw MatrixError.notFound(
      `There is no ${deviceId === null ? 'user' : `device ${deviceId} of`} ${userId} to except`,
    );
  }

  /** Counts all sessions that meet a filter, and shows the first ones. */
  async preview(filter: SessionFilter): Promise<Preview> {
    requireNetwork(filter.address);
    const sessions: AdminSession[] = [];
    let count = 0;
    let next: DeviceRef | null = null;
    do {
      const window = await this.store.look(filter, next);
      count += window.found.length;
      sessions.push(...window.found.slice(0, SHOWN - sessions.length));
      ({ next } = window);
    } while (next !== null);
    return { count, sessions };
  }
}
