import { describe, expect, it } from 'vitest';
import { file, settingsIn } from '../support/deployment.js';

const SERVICE = 'deploy/systemd/matrix-session.service';
const MIGRATION = 'deploy/systemd/matrix-session-migrate.service';

/** What confines a unit: all settings from `DynamicUser` on. */
async function confinementOf(unit: string): Promise<[string, string][]> {
  const settings = settingsIn(await file(unit)).filter(([name]) => name !== 'WantedBy');
  return settings.slice(settings.findIndex(([name]) => name === 'DynamicUser'));
}

describe('The units of systemd', () => {
  it('are confined alike', async () => {
    const confinement = await confinementOf(SERVICE);
    expect(confinement.length).toBeGreaterThan(20);
    expect(await confinementOf(MIGRATION)).toEqual(confinement);
    // V8 could not run.
    expect(confinement.map(([name]) => name)).not.toContain('MemoryDenyWriteExecute');
  });

  it('hand each role its own secret only, in a file', async () => {
    const credentials = async (unit: string) =>
      settingsIn(await file(unit)).filter(
        ([name, value]) => name === 'LoadCredential' || value.includes('%d'),
      );
    expect(await credentials(SERVICE)).toEqual([
      ['LoadCredential', 'database-url:/etc/matrix-session/database-url'],
      ['Environment', 'DATABASE_URL_FILE=%d/database-url'],
    ]);
    expect(await credentials(MIGRATION)).toEqual([
      ['LoadCredential', 'owner-database-url:/etc/matrix-session/owner-database-url'],
      ['Environment', 'DATABASE_URL_FILE=%d/owner-database-url'],
    ]);
  });

  it('migrate before the service starts, and neither gives up while the database is down', async () => {
    const service = new Map(settingsIn(await file(SERVICE)));
    const migration = new Map(settingsIn(await file(MIGRATION)));
    for (const order of ['Wants', 'After'])
      expect(service.get(order)).toContain('matrix-session-migrate.service');
    expect([service.has('Requires'), migration.get('PartOf')]).toEqual([false, 'matrix-session.service']);
    expect([service.get('Restart'), migration.get('Restart')]).toEqual(['always', 'on-failure']);
    for (const unit of [service, migration]) expect(unit.get('StartLimitIntervalSec')).toBe('0');
  });
});
