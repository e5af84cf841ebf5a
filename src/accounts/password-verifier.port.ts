/**
 * Verifies passwords that are kept elsewhere, such as in LDAP or in a table of your own. The account here is created
 * with the first correct password, and never gets a password of its own.
 *
 * @example
 * ```ts
 * class LdapPasswords extends PasswordVerifier {
 *   constructor(private readonly directory: LdapDirectory) {
 *     super();
 *   }
 *   keeps(userId: string) {
 *     return this.directory.has(userId);
 *   }
 *   verify(userId: string, password: string) {
 *     return this.directory.bind(userId, password);
 *   }
 * }
 * createApplication({ environment, database, passwordVerifier: new LdapPasswords(directory) });
 * ```
 */
export abstract class PasswordVerifier {
  /**
   * Whether the user's password is kept there; this service keeps the passwords of all others.
   * @param userId a full user ID of this server, in lower case unless a historical account has capitals
   */
  abstract keeps(userId: string): Promise<boolean>;

  /**
   * Whether the password is right. Called only for users that {@link keeps} accepts, after the attempt was counted.
   * An error becomes a 500, except a `MatrixError`, which becomes the response.
   */
  abstract verify(userId: string, password: string): Promise<boolean>;
}

/**
 * This service keeps every password.
 *
 * @example
 * ```ts
 * createApplication({ environment, database, passwordVerifier: directory ? new LdapPasswords(directory) : new
 * OwnPasswords() });
 * ```
 */
export class OwnPasswords extends PasswordVerifier {
  async keeps(): Promise<boolean> {
    return false;
  }

  async verify(): Promise<boolean> {
    return false;
  }
}
