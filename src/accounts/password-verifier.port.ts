/**
 * Tells whether a password is a user's, where passwords are kept elsewhere: LDAP, a table of your own. The account here
 * comes into being with the first password that proves right; it is never given a password of its own.
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
   * Whether the user's password is kept there; the passwords of others are this service's own.
   * @param userId a full user ID of this server, in lower case unless an account of old says otherwise
   */
  abstract keeps(userId: string): Promise<boolean>;

  /**
   * Whether the password is right. Asked only for users that it keeps, and after failed attempts were counted.
   * What it throws is a 500, but for a `MatrixError`, which is the answer.
   */
  abstract verify(userId: string, password: string): Promise<boolean>;
}

/**
 * Every password is kept here.
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
