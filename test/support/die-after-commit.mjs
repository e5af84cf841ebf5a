// A service in its own process, on the given database. On request, the process is killed between the next commit and
// the delivery of its events. This is plain JavaScript on the built service, because no test runner compiles it.
import { createApplication, Environment } from '../../dist/index.js';
import { OutboxWorker } from '../../dist/outbox/outbox.worker.js';

const environment = Environment.load(process.env);
const app = await createApplication({ environment, database: JSON.parse(process.env.DATABASE) });
await app.listen(0, '127.0.0.1');
process.once('message', () => {
  OutboxWorker.prototype.kick = () => process.kill(process.pid, 'SIGKILL');
  process.send?.('armed');
});
process.send?.({ url: await app.getUrl() });
