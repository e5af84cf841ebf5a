// A service in its own process, which is killed in the middle of a logout: after the deletions, before the commit.
// This is plain JavaScript that uses the built service, because no test runner compiles it.
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import {
  createApplication,
  DevicesDeleted,
  EmbeddedPostgres,
  Environment,
  InTransaction,
} from '../../dist/index.js';

const environment = Environment.load(process.env);
const embedded = await EmbeddedPostgres.start({ dataDir: environment.dataDir });

class Killer {
  async onDevicesDeleted({ devices }, tx) {
    // Once the keys and the tokens are deleted, every other listener has finished.
    for (let gone = false; !gone;) {
      const rows = await tx.query(
        {
          name: 'crash_look',
          text: `SELECT count(*)::int AS left FROM devices WHERE user_id = $1`,
        },
        [devices[0].userId],
      );
      gone = rows[0].left === 0;
    }
    process.send?.('deleted, not committed');
    process.kill(process.pid, 'SIGKILL');
  }
}
if (process.env.CRASH === 'yes') {
  const method = Object.getOwnPropertyDescriptor(Killer.prototype, 'onDevicesDeleted');
  InTransaction(DevicesDeleted)(Killer.prototype, 'onDevicesDeleted', method);
  Object.defineProperty(Killer.prototype, 'onDevicesDeleted', method);
}
class KillerModule {}
Module({ providers: [Killer] })(KillerModule);

const app = await createApplication({ environment, database: embedded.location, extensions: [KillerModule] });
await app.listen(0, '127.0.0.1');
process.send?.({ url: await app.getUrl() });
process.once('SIGTERM', async () => {
  await app.close();
  await embedded.stop();
  process.exit(0);
});
