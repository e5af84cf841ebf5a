import { Injectable } from '@nestjs/common';
import { AuditService } from '../../audit/audit.service.js';
import type { AuditAction, AuditEntryEntity } from '../../audit/audit-entry.entity.js';
import { DevicesService } from '../../devices/devices.service.js';
import { titleOf } from '../../oauth/clients/client-metadata.rules.js';
import { ClientsService } from '../../oauth/clients/clients.service.js';
import { OAuthSessionsService } from '../../session/oauth-sessions.service.js';
import { BrowserSessions } from '../browser/browser-sessions.service.js';
import type { AccountView, ActivityView, SessionView } from '../templates/views.js';
import type { Texts } from '../texts/en.js';
import type { SignedInVisit } from '../visit.js';

const SHOWN_ENTRIES = 20;
/** Sessions that began earlier than these have no address any more. */
const MOST_BEGINNINGS = 1_000;

/** Puts together what the account page shows. */
@Injectable()
export class AccountViewService {
  constructor(
    private readonly devices: DevicesService,
    private readonly sessions: OAuthSessionsService,
    private readonly clients: ClientsService,
    private readonly browsers: BrowserSessions,
    private readonly audit: AuditService,
  ) {}

  async overview({ signedIn, texts }: SignedInVisit): Promise<Omit<AccountView, 'notice' | 'hasPassword'>> {
    const { userId, sessionDigest } = signedIn.session;
    const entries = await this.entriesOf(userId, null, SHOWN_ENTRIES);
    const browsers = await this.browsers.list(userId);
    return {
      userId,
      sessions: await this.list(userId),
      browsers: browsers.map((one) => ({
        ...one,
        id: one.sessionDigest.toString('base64url'),
        isThis: one.sessionDigest.equals(sessionDigest),
      })),
      activity: entries.map((entry) => toActivity(entry, texts)),
    };
  }

  /** The sessions of clients that the user has, the last seen first. */
  async list(userId: string): Promise<SessionView[]> {
    const [devices, clientIds, beginnings] = await Promise.all([
      this.devices.list(userId),
      this.sessions.clientsOf(userId),
      this.entriesOf(userId, 'session_started', MOST_BEGINNINGS),
    ]);
    const clients = await this.clients.findAll([...clientIds.values()]);
    // The newest of each device.
    const begun = new Map(beginnings.toReversed().map((one) => [one.deviceId, one]));
    const views = devices.map((device): SessionView => {
      const client = clients.get(clientIds.get(device.deviceId) ?? '');
      const begin = begun.get(device.deviceId);
      return {
        deviceId: device.deviceId,
        name: device.displayName,
        app: client === undefined ? null : titleOf(client.metadata),
        lastSeenAt: device.lastSeenAt,
        lastSeenAddress: device.lastSeenIp,
        userAgent: device.lastSeenUserAgent ?? begin?.userAgent ?? null,
        begunAt: begin?.at ?? device.createdAt,
        begunAddress: begin?.address ?? null,
      };
    });
    const seenAt = ({ lastSeenAt, begunAt }: SessionView) => (lastSeenAt ?? begunAt).getTime();
    return views.toSorted((one, other) => seenAt(other) - seenAt(one));
  }

  private entriesOf(userId: string, action: AuditAction | null, limit: number): Promise<AuditEntryEntity[]> {
    const before = { at: new Date('9999-12-31T00:00:00Z'), id: '' };
    return this.audit.list({ userId, action, before, limit });
  }
}

function toActivity(
  { at, action, deviceId, address, userAgent }: AuditEntryEntity,
  texts: Texts,
): ActivityView {
  // What is done to jobs and to registration tokens is about no user, and has no text.
  const name = texts.actions[action as keyof Texts['actions']];
  return { at, action: name, detail: deviceId, address, userAgent };
}
