/**
 * Which new passwords are good enough. A team may put its own in the place of the service's.
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
  /** Why the password is too weak, for the user to read; `null` when it is good enough. */
  abstract weakness(password: string, userId: string): Promise<string | null>;
}
