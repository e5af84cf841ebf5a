import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common';
import type { Request } from 'express';
import { Environment } from '../config/environment.js';
import type { Tx } from '../database/tx.js';
import { originOfRequest } from '../matrix/client-origin.decorator.js';
import type { ErrorAnswer } from '../matrix/matrix-error.js';
import type { About, OriginOf } from '../events/origins.js';
import { Refusals } from '../matrix/refusals.js';
import { Clock } from '../system/clock.js';
import { Entropy } from '../system/entropy.js';
import { warnUnlessOutage } from '../system/outage.js';
import type { AuditAction, AuditEntryEntity } from './audit-entry.entity.js';
import { AuditStore, type AuditQuery, type NewAuditEntry } from './audit.store.js';
import { refusalOf } from './refusal.rules.js';

const USER_AGENT_LIMIT = 512;
/** Refusals beyond these limits are not recorded, so that a flood of guesses does not fill the database. */
const REFUSALS_AT_ONCE = 32;
const REFUSALS_A_MINUTE = 60;
const MINUTE_MS = 60_000;

/** Records, for administrators, how sessions began and ended, and what was refused. */
@Injectable()
export class AuditService implements BeforeApplicationShutdown {
  private readonly logger = new Logger(AuditService.name);
  private readonly writing = new Set<Promise<void>>();
  /** How many refusals each address has had in this minute. */
  private readonly recent = new Map<string, number>();
  private minute = 0;
  /** Whether refusals of this minute were left out, which is logged once. */
  private isLeavingOut = false;

  constructor(
    private readonly store: AuditStore,
    private readonly environment: Environment,
    private readonly clock: Clock,
    private readonly entropy: Entropy,
    refusals: Refusals,
  ) {
    refusals.onRefusal((request, answer) => this.recordRefusal(request, answer));
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.writing);
  }

  /** Writes entries in the transaction that they are about. */
  record(
    tx: Tx,
    action: Exclude<AuditAction, 'refused'>,
    about: readonly About[],
    originOf: OriginOf,
    {
      reason = null,
      clientId = null,
      operation = null,
    }: { reason?: string | null; clientId?: string | null; operation?: string | null } = {},
  ): void {
    if (!this.environment.audit) return;
    const entries = this.entriesOf(tx);
    for (const { userId, deviceId = null } of about) {
      const { address = null, userAgent = null, actor = null } = originOf({ userId, deviceId }) ?? {};
      entries.push({
        userId,
        deviceId,
        entryId: this.entryId(entries.length),
        action,
        reason,
        operation,
        actor,
        clientId,
        address,
        userAgent: userAgent?.slice(0, USER_AGENT_LIMIT) ?? null,
      });
    }
  }

  /** Records refused logins, refreshes and proofs in the background. */
  private recordRefusal(request: Request, answer: ErrorAnswer): void {
    const refusal = this.environment.audit ? refusalOf(request, answer, this.environment.serverName) : null;
    if (refusal === null) return;
    const { address, userAgent } = originOfRequest(request);
    if (!this.mayWrite(address)) return;
    const entry: NewAuditEntry = {
      ...refusal,
      entryId: this.entryId(0),
      action: 'refused',
      actor: null,
      clientId: null,
      address,
      userAgent: userAgent?.slice(0, USER_AGENT_LIMIT) ?? null,
    };
    const written = this.store
      .appendRefusal(this.clock.now(), entry)
      .catch((error: unknown) => warnUnlessOutage(this.logger, 'A refusal is not in the audit', error))
      .finally(() => this.writing.delete(written));
    this.writing.add(written);
  }

  async list(query: AuditQuery): Promise<AuditEntryEntity[]> {
    return this.store.list(query);
  }

  private mayWrite(address: string): boolean {
    const minute = Math.floor(this.clock.now().getTime() / MINUTE_MS);
    if (minute !== this.minute) {
      this.recent.clear();
      this.isLeavingOut = false;
    }
    this.minute = minute;
    const before = this.recent.get(address) ?? 0;
    this.recent.set(address, before + 1);
    const isTaken = before < REFUSALS_A_MINUTE && this.writing.size < REFUSALS_AT_ONCE;
    if (!isTaken && !this.isLeavingOut)
      this.logger.warn(`More refusals in this minute than the audit takes, of ${address} for example`);
    this.isLeavingOut ||= !isTaken;
    return isTaken;
  }

  private entriesOf(tx: Tx): NewAuditEntry[] {
    return tx.local(this, () => {
      const entries: NewAuditEntry[] = [];
      tx.beforeCommit(() => this.store.appending(tx.startedAt, entries));
      return entries;
    });
  }

  private entryId(ordinal: number): string {
    return `${String(ordinal).padStart(5, '0')}${this.entropy.bytes(9).toString('base64url')}`;
  }
}
