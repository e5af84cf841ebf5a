/**
 * Finds the owner of an e-mail address or telephone number. A team that keeps such addresses provides it.
 *
 * @example
 * ```ts
 * class Directory extends ThreepidDirectory {
 *   async find(medium: string, address: string) {
 *     return medium === 'email' ? this.users.byMail(address) : null;
 *   }
 * }
 * createApplication({ environment, database, threepids: new Directory() });
 * ```
 */
export abstract class ThreepidDirectory {
  /**
   * The user ID that the address belongs to, or `null`.
   * @param medium `email` or `msisdn`
   * @param address an e-mail address in lower case, or a number with country code and digits only
   */
  abstract find(medium: string, address: string): Promise<string | null>;
}

/**
 * Finds nobody, because this service keeps no addresses of its own.
 *
 * @example
 * ```ts
 * createApplication({ environment, database, threepids: new NoThreepids() });
 * ```
 */
export class NoThreepids extends ThreepidDirectory {
  async find(): Promise<null> {
    return null;
  }
}
