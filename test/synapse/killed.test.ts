import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ClientSession, V3 } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { MoodyRelay } from '../support/moody-relay.js';
import { SECRET } from '../support/pair.js';
import { freePort, ServiceProcess } from '../support/service-process.js';
import { Synapse } from '../support/synapse.js';

let relay: MoodyRelay;
let synapse: Synapse;
let service: ServiceProcess;
let variables: Record<string, string>;

beforeAll(async () => {
  const [port, ofService] = [await freePort(), await freePort()];
  relay = await MoodyRelay.start(port);
  variables = {
    PORT: String(ofService),
    DATA_DIR: await temporaryDirectory(),
    HOMESERVER_URL: relay.url,
    HOMESERVER_SECRET: SECRET,
  };
  service = await ServiceProcess.start(variables);
  synapse = await Synapse.start({ endpoint: service.url, secret: SECRET, port });
}, 120_000);
afterAll(async () => {
  await service?.stop();
  await synapse?.stop();
  relay?.stop();
});

const devicesThere = async (session: ClientSession): Promise<string[]> => {
  const { body } = await synapse.as(session, 'get', `${V3}/devices`).expect(200);
  return body.devices.map(({ device_id }: { device_id: string }) => device_id);
};

it('A logout whose node is killed before Synapse has heard of it arrives from the next node', async () => {
  const own = await service.matrix.register();
  const stays = await service.matrix.login(own.userId);
  relay.become('hanging');
  await service.matrix.logout(own).expect(200);
  await service.stop('SIGKILL');
  relay.become('well');
  expect((await synapse.as(stays, 'get', `${V3}/devices`)).status).toBe(503);
  service = await ServiceProcess.start(variables);
  await expect.poll(() => devicesThere(stays), { timeout: 30_000 }).toEqual([stays.deviceId]);
  await synapse.as(own, 'get', `${V3}/account/whoami`).expect(401);
}, 120_000);
