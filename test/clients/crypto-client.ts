import {
  type Device,
  DeviceId,
  DeviceLists,
  type KeysClaimRequest,
  type KeysQueryRequest,
  type KeysUploadRequest,
  OlmMachine,
  RequestType,
  type SignatureUploadRequest,
  UserId,
} from '@matrix-org/matrix-sdk-crypto-wasm';
import { type ClientSession, passwordOf } from '../../src/testing/matrix-client.js';
import type { TestApp } from '../support/test-app.js';

type MachineRequest = KeysUploadRequest | KeysQueryRequest | KeysClaimRequest | SignatureUploadRequest;

/** The endpoints for the requests of the machine. */
const ENDPOINTS: Partial<Record<RequestType, string>> = {
  [RequestType.KeysUpload]: '/keys/upload',
  [RequestType.KeysQuery]: '/keys/query',
  [RequestType.KeysClaim]: '/keys/claim',
  [RequestType.SignatureUpload]: '/keys/signatures/upload',
};

/** The end-to-end encryption library of Element and other clients, on a session of the service. */
export class CryptoClient {
  static async start(app: TestApp, session: ClientSession): Promise<CryptoClient> {
    const machine = await OlmMachine.initialize(new UserId(session.userId), new DeviceId(session.deviceId));
    const client = new CryptoClient(app, session, machine);
    // Like a first sync: the server has no one-time keys and no fallback key of the device.
    await machine.receiveSyncChanges('[]', new DeviceLists(), new Map(), new Set());
    await client.sendOutgoing();
    return client;
  }

  private constructor(
    private readonly app: TestApp,
    readonly session: ClientSession,
    readonly machine: OlmMachine,
  ) {}

  /** Sends the requests of the machine, and passes the answers to it. */
  async sendOutgoing(): Promise<void> {
    for (const request of await this.machine.outgoingRequests()) await this.send(request);
  }

  async send(request: MachineRequest): Promise<unknown> {
    const { body } = await this.app.matrix
      .call(this.session, 'post', ENDPOINTS[request.type]!)
      .send(JSON.parse(request.body))
      .expect(200);
    // The machine does not wait for the answer to signatures.
    if (request.id !== undefined)
      await this.machine.markRequestAsSent(request.id, request.type, JSON.stringify(body));
    return body;
  }

  /** Creates new cross-signing keys, with the password if the service requires it. */
  async bootstrapCrossSigning(): Promise<void> {
    const requests = await this.machine.bootstrapCrossSigning(true);
    if (requests.uploadKeysRequest) await this.send(requests.uploadKeysRequest as KeysUploadRequest);
    const keys = JSON.parse(requests.uploadSigningKeysRequest.body) as object;
    const upload = (body: object) =>
      this.app.matrix.call(this.session, 'post', '/keys/device_signing/upload').send(body);
    const answer = await upload(keys);
    if (answer.status === 401) {
      const auth = { ...passwordOf(this.session), session: answer.body.session };
      await upload({ ...keys, auth }).expect(200);
    }
    await this.send(requests.uploadSignaturesRequest);
  }

  /** Returns the machine's view of a device, after querying its keys again. */
  async look({ userId, deviceId }: ClientSession): Promise<Device> {
    await this.track(userId);
    return (await this.machine.getDevice(new UserId(userId), new DeviceId(deviceId)))!;
  }

  /** Tracks the devices of a user, starting with their current state. */
  async track(userId: string): Promise<void> {
    await this.machine.updateTrackedUsers([new UserId(userId)]);
    await this.send(this.machine.queryKeysForUsers([new UserId(userId)]));
  }

  /** Claims a one-time key of each device of the user with which there is no session yet. */
  async claim(userId: string): Promise<unknown> {
    const request = await this.machine.getMissingSessions([new UserId(userId)]);
    return request ? this.send(request) : null;
  }
}
