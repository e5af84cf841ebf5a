import { Injectable } from '@nestjs/common';
import { AccountsService } from '../accounts/accounts.service.js';
import { AppserviceRegistry } from '../appservices/appservice-registry.js';
import { Environment } from '../config/environment.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { Homeserver, HomeserverRefusal } from './homeserver.port.js';
import { HomeserverStore } from './homeserver.store.js';

/** How many users are remembered as known to the homeserver. */
const REMEMBERED = 100_000;

/**
 * Which users of this service are also users of the homeserver. A user of the same name there who was not made by
 * this service is somebody else, and must not fall to whoever has the name here.
 */
@Injectable()
export class HomeserverUsers {
  /** A user who is linked stays so. */
  private readonly linked = new Set<string>();

  constructor(
    private readonly homeserver: Homeserver,
    private readonly store: HomeserverStore,
    private readonly appservices: AppserviceRegistry,
    private readonly accounts: AccountsService,
    private readonly environment: Environment,
  ) {}

  async isLinked(userId: string): Promise<boolean> {
    if (!this.homeserver.exists || this.linked.has(userId)) return true;
    const user = await this.store.findUser(userId);
    const isLinked = user !== null && user.linkedAt !== null;
    if (isLinked) this.remember(userId);
    return isLinked;
  }

  /**
   * Creates the user at the homeserver, unless that has been done. Call it for one user at a time.
   * @param again also if that has been done, because the homeserver has lost the user
   * @returns whether the homeserver may be told about the user; not of one who has been deactivated
   * @throws {HomeserverRefusal} for a name that somebody else has there, or that the homeserver does not allow
   */
  async ensure(userId: string, signal: AbortSignal, again = false): Promise<boolean> {
    if (!again && (await this.isLinked(userId))) return true;
    const account = await this.accounts.findExactly(userId);
    // Making a user who is deactivated could bring them back to life.
    if (account === null || account.deactivatedAt !== null) return false;
    const asToken = account.kind === 'appservice' ? this.tokenOfAppservice(userId) : null;
    // The names of an application service are its own. Of any other user who exists there, only the record of an
    // earlier attempt says that it is ours.
    if (asToken === null && (await this.store.findUser(userId)) === null) {
      await this.requireOurs(userId);
      await this.store.intend(userId);
    }
    await this.provision(userId, asToken, signal);
    await this.store.link(userId);
    this.remember(userId);
    return true;
  }

  /** Whether the user could be linked, or is: nobody else has the name there. */
  async isPossible(userId: string): Promise<boolean> {
    if ((await this.store.findUser(userId)) !== null) return true;
    try {
      await this.requireOurs(userId);
      return true;
    } catch (error) {
      if (error instanceof HomeserverRefusal) return false;
      throw error;
    }
  }

  private async provision(userId: string, asToken: string | null, signal: AbortSignal): Promise<void> {
    try {
      await this.homeserver.provision(userId, asToken, signal);
    } catch (error) {
      // It was not made, so whoever is called so there one day is somebody else.
      if (error instanceof HomeserverRefusal) await this.store.abandon(userId);
      throw error;
    }
  }

  private tokenOfAppservice(userId: string): string | null {
    return this.appservices.services.find((service) => service.claims(userId))?.token ?? null;
  }

  private async requireOurs(userId: string): Promise<void> {
    try {
      await this.homeserver.requireFree(userId);
    } catch (error) {
      if (!(error instanceof MatrixError) || error.status !== 400) throw error;
      if (error.errcode === 'M_USER_IN_USE' && this.environment.homeserver.adopts) return;
      throw new HomeserverRefusal('M_FORBIDDEN', `The homeserver refuses this user: ${error.message}`);
    }
  }

  private remember(userId: string): void {
    if (this.linked.size >= REMEMBERED) this.linked.clear();
    this.linked.add(userId);
  }
}
