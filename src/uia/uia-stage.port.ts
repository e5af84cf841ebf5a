/** What a stage may look at. */
export interface StageAttempt {
  /** The `auth` object of the request: `type` and whatever else the stage asks for. */
  readonly auth: Readonly<Record<string, unknown>>;
  /** Who is calling; `null` where nobody is logged in yet. */
  readonly userId: string | null;
}

/** One way to prove something in the middle of a request, such as knowing the password. */
export abstract class UiaStage {
  /** Its name in flows, such as `m.login.dummy`. */
  abstract readonly type: string;

  /**
   * Resolves when the proof is good.
   * @throws {MatrixError} when it is not; the client gets its `errcode` and may try again
   */
  abstract attempt(attempt: StageAttempt): Promise<void>;
}
