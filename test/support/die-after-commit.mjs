// A service of its own, on the database that it is given. Told to, its process is killed between the next commit and
// the delivery of its events. Plain JavaScript on the built service, as a process has no test runner to compile for it.
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
