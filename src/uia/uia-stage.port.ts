import { MatrixError } from '../matrix/matrix-error.js';

/** What a stage gets to check. */
export interface StageAttempt {
  /** The `auth` object of the request: `type` and whatever else the stage asks for. */
  readonly auth: Readonly<Record<string, unknown>>;
  /** Who is calling; `null` if nobody is logged in yet. */
  readonly userId: string | null;
  /** The address of the client. */
  readonly address: string;
}

/**
 * A stage refuses finally: the client gets 403 `M_FORBIDDEN` instead of another try.
 *
 * @example
 * ```ts
 * if (attempts > 3) throw new UiaRefusal('That was wrong three times');
 * ```
 */
export class UiaRefusal extends MatrixError {
  constructor(message: string) {
    super(403, 'M_FORBIDDEN', message);
  }
}

/** Whose identity a stage has proven. */
export interface Proven {
  readonly userId: string;
  /** What the proof was checked against, such as the hash of the password. */
  readonly credential: string | null;
}

/**
 * One way to prove something in the middle of a request, such as knowing the password ("User-Interactive
 * Authentication API"). Add it to {@link UiaStages}. Calls ask for it if a flow of `UiaFlows` names it.
 *
 * @example
 * ```ts
 * @Injectable()
 * class CodeStage extends UiaStage implements OnModuleInit {
 *   readonly type = 'org.example.code';
 *   constructor(private readonly stages: UiaStages) {
 *     super();
 *   }
 *   onModuleInit() {
 *     this.stages.add(this);
 *   }
 *   async attempt({ auth, userId }: StageAttempt) {
 *     if (!(await isCodeOf(userId, auth.code))) throw MatrixError.forbidden('Wrong code');
 *     return null;
 *   }
 * }
 * ```
 */
export abstract class UiaStage {
  /** Its name in flows, such as `m.login.dummy`. */
  abstract readonly type: string;

  /**
   * Resolves if the proof is valid, with the user it proves, or `null` if it proves no particular user.
   * @throws {UiaRefusal} to refuse finally
   * @throws {MatrixError} when the proof is not valid; the client gets its `errcode` and may try again
   */
  abstract attempt(attempt: StageAttempt): Promise<Proven | null>;
}
