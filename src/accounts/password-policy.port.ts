/**
 * Decides which new passwords are good enough. A team may replace the service's policy with its own.
 *
 * @example
 * ```ts
 * class LongPasswords extends PasswordPolicy {
 *   async weakness(password: string) {
 *     return password.length < 20 ? 'A password needs 20 characters' : null;
 *   }
 * }
 * ```
 */
export abstract class PasswordPolicy {
  /**
   * Returns why the password is too weak, in words for the user; `null` if it is good enough.
   * @param language of these words, such as `de`; the pages know the user's, clients do not say it
   */
  abstract weakness(password: string, userId: string, language?: string): Promise<string | null>;
}
