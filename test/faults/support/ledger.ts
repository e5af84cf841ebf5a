/** What became of a session, as far as its client knows. */
export type Fate =
  | 'live'
  /** A logout was acknowledged. */
  | 'ended'
  /** A logout was sent, and not acknowledged. */
  | 'unknown';

/** One session of a client, with what the service has acknowledged of it. */
export interface Held {
  readonly userId: string;
  readonly deviceId: string;
  access: string;
  refresh: string;
  fate: Fate;
  /** One-time keys that were sent, and those whose upload was acknowledged. */
  sent: number;
  uploaded: number;
  claimed: number;
  /** Claims that were not answered: each may have taken a key. */
  lostClaims: number;
}

/** What clients were told, to be held against the database. */
export class Ledger {
  readonly sessions: Held[] = [];
  readonly secrets = new Set<string>();
  readonly violations: string[] = [];
  readonly counts = new Map<string, number>();
  private readonly claims = new Set<string>();

  begin({ user_id, device_id, access_token, refresh_token }: Record<string, unknown>): Held {
    const held: Held = {
      userId: String(user_id),
      deviceId: String(device_id),
      access: String(access_token),
      refresh: String(refresh_token),
      fate: 'live',
      sent: 0,
      uploaded: 0,
      claimed: 0,
      lostClaims: 0,
    };
    this.sessions.push(held);
    this.keepSecret(held.access, held.refresh);
    return held;
  }

  keepSecret(...secrets: readonly string[]): void {
    for (const secret of secrets) this.secrets.add(secret);
  }

  claim({ userId, deviceId }: Held, keyId: string): void {
    const claim = `${userId} ${deviceId} ${keyId}`;
    if (this.claims.has(claim)) this.violations.push(`${claim} was claimed twice`);
    this.claims.add(claim);
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** Acknowledged logouts. */
  get ended(): number {
    return this.sessions.filter(({ fate }) => fate === 'ended').length;
  }
}
