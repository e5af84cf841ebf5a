import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { canonicalJson } from '../../src/matrix/canonical-json.js';
import type { ClientSession } from '../../src/testing/matrix-client.js';

type Json = Record<string, unknown>;

/** An Ed25519 key pair of a device or user. */
export class SigningKey {
  readonly publicKey: string;
  private readonly privateKey: KeyObject;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    this.publicKey = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url')
      .toString('base64')
      .replace(/=+$/, '');
    this.privateKey = privateKey;
  }

  /** `ed25519:` and the key itself. */
  get keyId(): string {
    return `ed25519:${this.publicKey}`;
  }

  /** Returns the object with one more signature. */
  sign(object: Json, userId: string, keyId = this.keyId): Json {
    const {
      signatures = {},
      unsigned: _,
      ...signed
    } = object as Json & { signatures?: Record<string, Json> };
    const signature = sign(null, Buffer.from(canonicalJson(signed)), this.privateKey);
    return {
      ...signed,
      signatures: {
        ...signatures,
        [userId]: { ...signatures[userId], [keyId]: signature.toString('base64').replace(/=+$/, '') },
      },
    };
  }
}

/** A device with its own identity keys. */
export class SigningDevice {
  readonly key = new SigningKey();

  constructor(readonly session: ClientSession) {}

  get keyId(): string {
    return `ed25519:${this.session.deviceId}`;
  }

  sign(object: Json): Json {
    return this.key.sign(object, this.session.userId, this.keyId);
  }

  /** The `device_keys` of an upload, signed by the device. */
  deviceKeys(extra: Json = {}): Json {
    const { userId, deviceId } = this.session;
    return this.sign({
      user_id: userId,
      device_id: deviceId,
      algorithms: ['m.olm.v1.curve25519-aes-sha2', 'm.megolm.v1.aes-sha2'],
      keys: { [`curve25519:${deviceId}`]: 'Y3VydmU', [this.keyId]: this.key.publicKey },
      ...extra,
    });
  }
}

/** The three cross-signing keys of a user. */
export class SigningUser {
  readonly master = new SigningKey();
  readonly selfSigning = new SigningKey();
  readonly userSigning = new SigningKey();

  constructor(readonly userId: string) {}

  masterKey(): Json {
    return this.master.sign(this.key('master', this.master), this.userId);
  }

  selfSigningKey(signer = this.master): Json {
    return signer.sign(this.key('self_signing', this.selfSigning), this.userId);
  }

  userSigningKey(signer = this.master): Json {
    return signer.sign(this.key('user_signing', this.userSigning), this.userId);
  }

  /** The body of a `POST /keys/device_signing/upload`. */
  upload(): Json {
    return {
      master_key: this.masterKey(),
      self_signing_key: this.selfSigningKey(),
      user_signing_key: this.userSigningKey(),
    };
  }

  private key(usage: string, { keyId, publicKey }: SigningKey): Json {
    return { user_id: this.userId, usage: [usage], keys: { [keyId]: publicKey } };
  }
}
