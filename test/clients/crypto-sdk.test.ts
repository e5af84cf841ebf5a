import { DeviceId, UserId } from '@matrix-org/matrix-sdk-crypto-wasm';
import { describe, expect, it } from 'vitest';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { census, useApp } from '../support/test-app.js';
import { CryptoClient } from './crypto-client.js';

const app = useApp();

const start = (session: ClientSession) => CryptoClient.start(app(), session);
const startNew = async (extra?: object) => start(await app().matrix.register(extra));

/** Returns the number of one-time keys that the service has stored. */
async function keysOf({ userId }: ClientSession): Promise<number> {
  const [row] = await app().sql<{ count: number }>(
    'SELECT count(*)::int FROM one_time_keys WHERE user_id = $1 AND claimed_at IS NULL',
    [userId],
  );
  return row!.count;
}

describe('@matrix-org/matrix-sdk-crypto-wasm', () => {
  it('uploads identity, one-time and fallback keys, and has nothing more to send', async () => {
    const { machine, session } = await startNew();
    expect(await machine.outgoingRequests()).toEqual([]);
    expect(await keysOf(session)).toBe(50);
    expect(await census(app(), session.userId)).toMatchObject({ device_keys: 1, fallback_keys: 1 });
  });

  it('bootstraps cross-signing: the device is signed by its owner, which everybody can see', async () => {
    const alice = await startNew();
    await alice.bootstrapCrossSigning();
    expect((await alice.look(alice.session)).isCrossSignedByOwner()).toBe(true);
    const bob = await startNew();
    expect((await bob.look(alice.session)).isCrossSignedByOwner()).toBe(true);
    expect((await bob.look(alice.session)).isVerified()).toBe(false);
  });

  it('verifies a second device of the user', async () => {
    const phone = await startNew();
    await phone.bootstrapCrossSigning();
    const laptop = await start(await app().matrix.login(phone.session.userId));
    expect((await phone.look(laptop.session)).isCrossSignedByOwner()).toBe(false);
    expect(await phone.send(await (await phone.look(laptop.session)).verify())).toEqual({ failures: {} });
    for (const client of [phone, await startNew()])
      expect((await client.look(laptop.session)).isCrossSignedByOwner()).toBe(true);
  });

  it('verifies another user', async () => {
    const [alice, bob] = [await startNew(), await startNew()];
    for (const client of [alice, bob]) await client.bootstrapCrossSigning();
    await alice.track(bob.session.userId);
    const identity = async () => (await alice.machine.getIdentity(new UserId(bob.session.userId)))!;
    expect((await identity()).isVerified()).toBe(false);
    expect(await alice.send(await (await identity()).verify())).toEqual({ failures: {} });
    await alice.track(bob.session.userId);
    expect((await identity()).isVerified()).toBe(true);
    expect((await alice.look(bob.session)).isCrossSigningTrusted()).toBe(true);
  });

  it('replaces its cross-signing keys with the password', async () => {
    const alice = await startNew();
    await alice.bootstrapCrossSigning();
    const laptop = await start(await app().matrix.login(alice.session.userId));
    await laptop.bootstrapCrossSigning();
    const bob = await startNew();
    expect((await bob.look(laptop.session)).isCrossSignedByOwner()).toBe(true);
    expect((await bob.look(alice.session)).isCrossSignedByOwner()).toBe(false);
  });

  it('claims one-time keys and encrypts to the device that they belong to', async () => {
    const [alice, bob] = [await startNew(), await startNew()];
    await bob.track(alice.session.userId);
    await bob.claim(alice.session.userId);
    expect(await keysOf(alice.session)).toBe(49);
    const device = await bob.look(alice.session);
    expect(JSON.parse(await device.encryptToDeviceEvent('m.test', { hello: 'world' }))).toMatchObject({
      algorithm: 'm.olm.v1.curve25519-aes-sha2',
    });
    expect(await bob.claim(alice.session.userId)).toBeNull();
  });

  it('gets a valid fallback key when every one-time key is claimed', async () => {
    const alice = await startNew();
    await app().sql('UPDATE one_time_keys SET claimed_at = now() WHERE user_id = $1', [alice.session.userId]);
    const bob = await startNew();
    await bob.track(alice.session.userId);
    await bob.claim(alice.session.userId);
    const device = await bob.look(alice.session);
    expect(JSON.parse(await device.encryptToDeviceEvent('m.test', {}))).toHaveProperty('ciphertext');
  });

  it('finds nothing of a device that has logged out, and signs the next one with its ID as new', async () => {
    const phone = await startNew();
    await phone.bootstrapCrossSigning();
    const old = await start(await app().matrix.login(phone.session.userId, { device_id: 'LAPTOP' }));
    await phone.send(await (await phone.look(old.session)).verify());
    await app().matrix.logout(old.session).expect(200);
    await phone.track(phone.session.userId);
    const laptop = [new UserId(phone.session.userId), new DeviceId('LAPTOP')] as const;
    expect(await phone.machine.getDevice(...laptop)).toBeUndefined();
    const reborn = await start(await app().matrix.login(phone.session.userId, { device_id: 'LAPTOP' }));
    expect((await phone.look(reborn.session)).isCrossSignedByOwner()).toBe(false);
    await phone.send(await (await phone.look(reborn.session)).verify());
    const bob = await startNew();
    expect((await bob.look(reborn.session)).isCrossSignedByOwner()).toBe(true);
  });
});
