import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { V3 } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { usePair } from '../support/pair.js';

/** The last version without a binary that is downloaded from elsewhere. It is installed here only. */
const PACKAGE = 'matrix-bot-sdk@0.5.19';

/** What this test uses of it. */
interface Bot {
  on(event: 'room.message', listener: (roomId: string, event: MessageEvent) => void): void;
  start(): Promise<void>;
  stop(): void;
  getUserId(): Promise<string>;
  joinRoom(roomId: string): Promise<string>;
  sendText(roomId: string, text: string): Promise<string>;
}
interface MessageEvent {
  readonly sender: string;
  readonly content: { readonly body?: string };
}
interface BotSdk {
  MatrixClient: new (url: string, token: string) => Bot;
  LogService: { setLogger(logger: object): void };
}

const pair = usePair();

async function install(): Promise<BotSdk> {
  const directory = await temporaryDirectory();
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--prefix', directory, PACKAGE], {
    cwd: directory,
  });
  return createRequire(join(directory, 'package.json'))('matrix-bot-sdk') as BotSdk;
}

it('matrix-bot-sdk answers in a room, until its session is ended here', async () => {
  const { MatrixClient, LogService } = await install();
  const silent = Object.fromEntries(
    ['trace', 'debug', 'info', 'warn', 'error'].map((level) => [level, () => {}]),
  );
  LogService.setLogger(silent);
  const session = await pair().matrix.register({ initial_device_display_name: 'Bot' });
  const person = await pair().matrix.register();
  const bot = new MatrixClient(pair().nginx.url, session.accessToken);
  expect(await bot.getUserId()).toBe(session.userId);
  const { body: room } = await pair()
    .matrix.call(person, 'post', '/createRoom')
    .send({ invite: [session.userId] })
    .expect(200);
  await bot.joinRoom(room.room_id);
  bot.on('room.message', (roomId, { sender, content }) => {
    if (sender !== session.userId) void bot.sendText(roomId, `You said: ${content.body}`);
  });
  await bot.start();
  await pair()
    .matrix.call(person, 'put', `/rooms/${room.room_id}/send/m.room.message/1`)
    .send({ msgtype: 'm.text', body: 'Hello' })
    .expect(200);
  const heard = async () => {
    const { body } = await pair()
      .matrix.call(person, 'get', `/rooms/${room.room_id}/messages?dir=b&limit=5`)
      .expect(200);
    return (body.chunk as MessageEvent[]).map(({ content }) => content.body);
  };
  await expect.poll(heard, { timeout: 15_000 }).toContain('You said: Hello');
  await pair().app.http.post(`${V3}/logout`).auth(session.accessToken, { type: 'bearer' }).expect(200);
  await expect(bot.sendText(room.room_id, 'Am I still here?')).rejects.toMatchObject({
    body: { errcode: 'M_UNKNOWN_TOKEN' },
  });
  bot.stop();
}, 120_000);
