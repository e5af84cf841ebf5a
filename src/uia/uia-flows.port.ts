/** Stages that prove enough together. Clients are told them in this order, and may do them in any. */
export type Flow = readonly string[];

/** An API call that asks for a proof. */
export interface GuardedCall {
  /** Method and path, such as `POST /delete_devices`; an authentication session of one call does not open another. */
  readonly name: string;
  /** Who is calling; `null` where nobody is logged in. */
  readonly userId: string | null;
}

/**
 * Says which flows prove enough for a call: any one of them will do. A team may add stages to them, or flows. What a
 * stage such as the password has proven is checked again, under lock, when the call is made.
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
  /** @param own what the service asks for by itself */
  abstract flowsOf(call: GuardedCall, own: readonly Flow[]): readonly Flow[] | Promise<readonly Flow[]>;
}

/**
 * The service's own.
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
