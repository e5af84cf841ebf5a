/** Stages that together are enough proof. Clients see them in this order, and may complete them in any. */
export type Flow = readonly string[];

/** An API call that asks for a proof. */
export interface GuardedCall {
  /** Method and path, such as `POST /delete_devices`. An authentication session is valid for one such call only. */
  readonly name: string;
  /** Who is calling; `null` if nobody is logged in. */
  readonly userId: string | null;
}

/**
 * Decides which flows are enough proof for a call: the user completes any one of them. A team may add flows, or
 * stages to flows. What a stage such as the password has proven is checked again, under lock, when the call is made.
 *
 * @example
 * ```ts
 * class CodeToDelete extends UiaFlows {
 *   flowsOf({ name }: GuardedCall, own: readonly Flow[]) {
 *     return name === 'POST /delete_devices' ? [['org.example.code', 'm.login.password']] : own;
 *   }
 * }
 * createApplication({ environment, database, uiaFlows: new CodeToDelete() });
 * ```
 */
export abstract class UiaFlows {
  /** @param own the flows that the service itself offers */
  abstract flowsOf(call: GuardedCall, own: readonly Flow[]): readonly Flow[] | Promise<readonly Flow[]>;
}

/**
 * The service's own flows.
 *
 * @example
 * ```ts
 * createApplication({ environment, database, uiaFlows: new OwnFlows() });
 * ```
 */
export class OwnFlows extends UiaFlows {
  flowsOf(_call: GuardedCall, own: readonly Flow[]): readonly Flow[] {
    return own;
  }
}
