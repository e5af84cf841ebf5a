import { Injectable } from '@nestjs/common';
import { RateLimiter } from '../../admission/rate-limiter.js';
import { Clock } from '../../system/clock.js';
import { OAuthError } from '../../matrix/oauth-error.js';
import { type ClientMetadata, clientIdOf, toClientMetadata } from './client-metadata.rules.js';
import { type Client, ClientsStore } from './clients.store.js';

/** Far longer than the IDs that this service gives. */
const ID_LIMIT = 100;

/** A registration, as the client gets it (RFC 7591, section 3.2.1). */
export interface Registered extends ClientMetadata {
  readonly client_id: string;
  /** In seconds since the epoch. */
  readonly client_id_issued_at: number;
}

/** Registers and finds clients. */
@Injectable()
export class ClientsService {
  constructor(
    private readonly store: ClientsStore,
    private readonly clock: Clock,
    private readonly limiter: RateLimiter,
  ) {}

  /**
   * Registers a client. The second call with equal metadata gives the same client.
   * @throws {OAuthError} 400 `invalid_client_metadata` or `invalid_redirect_uri`
   * @throws {MatrixError} `M_LIMIT_EXCEEDED` after too many registrations, or new clients, from this address
   */
  async register(body: Readonly<Record<string, unknown>>, address: string): Promise<Registered> {
    await this.limiter.count('oauth_clients', address);
    const metadata = toClientMetadata(body);
    const client_id = clientIdOf(metadata);
    // What is known takes no room. Strangers who register ever new clients would fill the database.
    if ((await this.store.find(client_id)) === null) await this.limiter.count('oauth_new_clients', address);
    const registeredAt = await this.store.register(client_id, metadata, this.clock.now());
    return { client_id, client_id_issued_at: Math.floor(registeredAt.getTime() / 1_000), ...metadata };
  }

  async find(clientId: string): Promise<Client | null> {
    return clientId.length > ID_LIMIT ? null : this.store.find(clientId);
  }

  /** The clients of these IDs that exist, by ID. */
  async findAll(clientIds: readonly string[]): Promise<ReadonlyMap<string, Client>> {
    const clients = clientIds.length === 0 ? [] : await this.store.findAll([...new Set(clientIds)]);
    return new Map(clients.map((client) => [client.clientId, client]));
  }

  /** @throws {OAuthError} 401 `invalid_client` */
  async need(clientId: string): Promise<Client> {
    const client = await this.find(clientId);
    if (client === null)
      throw new OAuthError(401, 'invalid_client', 'There is no such client: register it first');
    return client;
  }

  /** Keeps a client that begins sessions from being forgotten. */
  async touch({ clientId }: Client): Promise<void> {
    await this.store.touch(clientId, this.clock.now());
  }
}
