const PARTS = ['keys', 'register', 'password-login'] as const;

/**
 * A part that can be left out of the service: `keys`, the end-to-end encryption endpoints; `register`, all ways to
 * create an account over HTTP; `password-login`, the type `m.login.password` of `POST /login`. Without the last one,
 * interactive authentication still asks for passwords, because `UiaFlows` decides on its stages.
 */
export type Part = (typeof PARTS)[number];

/** Knows which parts the service has. */
export class Parts {
  /** @throws {Error} for an unknown part, which would otherwise be ignored silently */
  constructor(readonly without: readonly Part[]) {
    const unknown = without.find((part) => !PARTS.includes(part));
    if (unknown !== undefined)
      throw new Error(`There is no part ${unknown} to leave out: there are ${PARTS.join(', ')}`);
  }

  /** The same without another part. */
  but(part: Part): Parts {
    return new Parts([...this.without, part]);
  }

  has(part: Part): boolean {
    return !this.without.includes(part);
  }
}
