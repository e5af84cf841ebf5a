import {
  ClientEvent,
  createClient,
  type ICreateClientOpts,
  type MatrixClient,
  MatrixEventEvent,
  SyncState,
} from 'matrix-js-sdk';
import { describe, expect, it } from 'vitest';
import { PASSWORD, passwordOf, uniqueUsername } from '../../src/testing/matrix-client.js';
import { usePair } from '../support/pair.js';

const pair = usePair();

const SILENT = Object.fromEntries(
  ['trace', 'debug', 'info', 'warn', 'error'].map((level) => [level, () => {}]),
);
const logger = { ...SILENT, getChild: () => logger } as unknown as NonNullable<ICreateClientOpts['logger']>;

/**
 * A client with end-to-end encryption that syncs, as Element is one.
 * @param sent gets what it sends to devices, such as the keys of rooms
 */
async function client(username: string, sent: string[] = []): Promise<MatrixClient> {
  const baseUrl = pair().nginx.url;
  const session = await createClient({ baseUrl, logger }).loginRequest({
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: username },
    password: PASSWORD,
  });
  const made = createClient({
    baseUrl,
    logger,
    fetchFn: (resource, init) => {
      const url = resource instanceof Request ? resource.url : resource.toString();
      if (url.includes('/sendToDevice/') && typeof init?.body === 'string') sent.push(init.body);
      return fetch(resource, init);
    },
    accessToken: session.access_token,
    userId: session.user_id,
    deviceId: session.device_id,
  });
  await made.initRustCrypto({ useIndexedDB: false });
  const synced = new Promise<void>((resolve) =>
    made.on(ClientEvent.Sync, (state) => state === SyncState.Prepared && resolve()),
  );
  await made.startClient({ initialSyncLimit: 10 });
  await synced;
  return made;
}

describe('matrix-js-sdk with end-to-end encryption', () => {
  it('verifies a second device, encrypts to it, and no longer once it has logged out', async () => {
    const { userId } = await pair().matrix.register({ username: uniqueUsername() });
    const sent: string[] = [];
    const phone = await client(userId, sent);
    const laptop = await client(userId);
    try {
      await phone.getCrypto()!.bootstrapCrossSigning({
        setupNewCrossSigning: true,
        authUploadDeviceSigningKeys: async (makeRequest) => {
          await makeRequest(passwordOf({ userId } as never));
        },
      });
      const { room_id } = await phone.createRoom({
        initial_state: [
          { type: 'm.room.encryption', state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } },
        ],
      });
      const laptopId = laptop.getDeviceId()!;
      const laptopSeen = async () =>
        (await phone.getCrypto()!.getUserDeviceInfo([userId], true)).get(userId)?.get(laptopId);
      await expect.poll(laptopSeen, { timeout: 10_000 }).toBeDefined();
      await phone.getCrypto()!.crossSignDevice(laptopId);
      await expect
        .poll(
          async () => (await phone.getCrypto()!.getDeviceVerificationStatus(userId, laptopId))?.signedByOwner,
          {
            timeout: 10_000,
          },
        )
        .toBe(true);

      const read = new Promise<string>((resolve) => {
        laptop.on(MatrixEventEvent.Decrypted, (event) => {
          if (event.getType() === 'm.room.message') resolve(event.getContent()['body'] as string);
        });
      });
      await phone.sendTextMessage(room_id, 'Down the rabbit hole');
      expect(await read).toBe('Down the rabbit hole');
      expect(sent.join()).toContain(laptopId);

      await laptop.logout(true);
      await expect.poll(laptopSeen, { timeout: 10_000 }).toBeUndefined();
      sent.splice(0);
      // The key of the room is changed, and only those get it who are still there.
      const tablet = await client(userId);
      const tabletId = tablet.getDeviceId()!;
      await expect
        .poll(
          async () => (await phone.getCrypto()!.getUserDeviceInfo([userId], true)).get(userId)?.has(tabletId),
          {
            timeout: 10_000,
          },
        )
        .toBe(true);
      await phone.sendTextMessage(room_id, 'Through the looking-glass');
      tablet.stopClient();
      expect(sent.join()).toContain(tabletId);
      expect(sent.join()).not.toContain(laptopId);
    } finally {
      phone.stopClient();
      laptop.stopClient();
    }
  }, 60_000);
});
