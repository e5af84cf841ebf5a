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

/** Where a client sends what its machine asks for. */
const ENDPOINTS: Partial<Record<RequestType, string>> = {
  [RequestType.KeysUpload]: '/keys/upload',
  [RequestType.KeysQuery]: '/keys/query',
  [RequestType.KeysClaim]: '/keys/claim',
  [RequestType.SignatureUpload]: '/keys/signatures/upload',
};

/** The end-to-end encryption of Element and others, on a session of the service. */
export class CryptoClient {
  static async start(app: TestApp, session: ClientSession): Promise<CryptoClient> {
    const machine = await OlmMachine.initialize(new UserId(session.userId), new DeviceId(session.deviceId));
    const client = new CryptoClient(app, session, machine);
    // As a first sync would: the server has no one-time key of the device, and no fallback key.
    await machine.receiveSyncChanges('[]', new DeviceLists(), new Map(), new Set());
    await client.sendOutgoing();
    return client;
  }

  private constructor(
    private readonly app: TestApp,
    readonly session: ClientSession,
    readonly machine: OlmMachine,
  ) {}

  /** Sends what the machine has to send, and hands it the answers. */
  async sendOutgoing(): Promise<void> {
    for (const request of await this.machine.outgoingRequests()) await this.send(request);
  }

  async send(request: MachineRequest): Promise<unknown> {
    const { body } = await this.app.matrix
      .call(this.session, 'post', ENDPOINTS[request.type]!)
      .send(JSON.parse(request.body))
      .expect(200);
    // Signatures are not waited for.
    if (request.id !== undefined)
      await this.machine.markRequestAsSent(request.id, request.type, JSON.stringify(body));
    return body;
  }

  /** Makes new cross-signing keys, with the password where the service asks for it. */
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

  /** What the machine thinks of a device, after asking for its keys again. */
  async look({ userId, deviceId }: ClientSession): Promise<Device> {
    await this.track(userId);
    return (await this.machine.getDevice(new UserId(userId), new DeviceId(deviceId)))!;
  }

  /** Follows the devices of a user, as they are now. */
  async track(userId: string): Promise<void> {
    await this.machine.updateTrackedUsers([new UserId(userId)]);
    await this.send(this.machine.queryKeysForUsers([new UserId(userId)]));
  }

  /** Claims a one-time key of each device of the user that there is no session with yet. */
  async claim(userId: string): Promise<unknown> {
    const request = await this.machine.getMissingSessions([new UserId(userId)]);
    return request ? this.send(request) : null;
  }
}
