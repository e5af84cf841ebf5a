const PARTS = ['keys', 'register', 'password-login'] as const;

/**
 * What can be left out of the service: `keys`, the end-to-end encryption endpoints; `register`, all ways to make an
 * account over HTTP; `password-login`, the type `m.login.password` of `POST /login`. Interactive authentication goes
 * on asking for passwords: which stages it asks for is the business of `UiaFlows`.
 */
export type Part = (typeof PARTS)[number];

/** The parts that are there. */
export class Parts {
  /** @throws {Error} for a part that there is not, which would stay without a word */
  constructor(private readonly without: readonly Part[]) {
    const unknown = without.find((part) => !PARTS.includes(part));
    if (unknown !== undefined)
      throw new Error(`There is no part ${unknown} to leave out: there are ${PARTS.join(', ')}`);
  }

  has(part: Part): boolean {
    return !this.without.includes(part);
  }
}
