import { describe, expect, it } from 'vitest';
import { ReconcilerService } from '../../src/reconciler/reconciler.service.js';
import { type ClientSession, V3 } from '../../src/testing/matrix-client.js';
import { usePair } from '../support/pair.js';

const pair = usePair({ variables: { HOMESERVER_RECONCILE: 'repair', RECONCILE: 'off' } });

const devicesThere = async (session: ClientSession): Promise<string[]> => {
  const { body } = await pair().synapse.as(session, 'get', `${V3}/devices`).expect(200);
  return body.devices.map(({ device_id }: { device_id: string }) => device_id).toSorted();
};
const look = async (repair: boolean) => {
  const findings = await pair().app.nest.get(ReconcilerService).lookThrough(repair);
  await pair().app.drain();
  return findings;
};
const localpart = ({ userId }: ClientSession) => userId.slice(1, userId.indexOf(':'));

describe('The reconciler', () => {
  it('deletes a device there that is not here, and only reports it in a dry run', async () => {
    const own = await pair().matrix.register();
    await pair()
      .synapse.tell('upsert_device', { localpart: localpart(own), device_id: 'LEFT' })
      .expect(201);
    const finding = { problem: 'homeserver_devices_left', found: 1, examples: [`${own.userId} LEFT`] };
    expect(await look(false)).toMatchObject([{ ...finding, repaired: 0 }]);
    expect(await devicesThere(own)).toContain('LEFT');
    expect(await look(true)).toMatchObject([{ ...finding, repaired: 1 }]);
    expect(await devicesThere(own)).toEqual([own.deviceId]);
    expect(await look(true)).toEqual([]);
  });

  it('ends a session whose device was deleted there, unless it has just begun', async () => {
    const own = await pair().matrix.register();
    const gone = await pair().matrix.login(own.userId);
    await pair()
      .synapse.tell('delete_device', { localpart: localpart(own), device_id: gone.deviceId })
      .expect(204);
    expect(await look(true)).toEqual([]);
    pair().app.clock.advance(3 * 60_000);
    expect(await look(true)).toMatchObject([
      { problem: 'homeserver_devices_missing', found: 1, repaired: 1 },
    ]);
    expect(await pair().app.matrix.whoami(gone)).toMatchObject({ status: 401 });
    expect(await pair().app.matrix.whoami(own)).toMatchObject({ status: 200 });
    expect(await look(true)).toEqual([]);
  });
});
