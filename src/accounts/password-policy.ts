import { localpartOf } from '../matrix/user-id.js';
import { PasswordPolicy } from './password-policy.port.js';

/** What is wrong with a password, in the languages of the pages. */
const WORDS: Readonly<Record<string, { tooShort(least: number): string; tooEasy: string }>> = {
  en: {
    tooShort: (least) => `A password needs ${least} characters or more`,
    tooEasy: 'This password is too easy to guess',
  },
  de: {
    tooShort: (least) => `Ein Passwort braucht mindestens ${least} Zeichen`,
    tooEasy: 'Dieses Passwort ist zu leicht zu erraten',
  },
};

/** zxcvbn's scale goes from 0, "too guessable", to 4; from 2 on a guesser needs more than a million tries. */
const LOWEST_SCORE = 2;

/** Beyond this length guessing is hopeless, and estimating it slow. */
const ESTIMATED_LENGTH = 64;

type Estimate = (password: string, userInputs: string[]) => { score: number };

/**
 * Checks the length, and zxcvbn's lists of common passwords, names and patterns.
 *
 * @example
 * ```ts
 * class NoCompanyName extends ListPasswordPolicy {
 *   override async weakness(password: string, userId: string) {
 *     return /acme/i.test(password) ? 'Not our own name' : super.weakness(password, userId);
 *   }
 * }
 * ```
 */
export class ListPasswordPolicy extends PasswordPolicy {
  private estimate: Promise<Estimate> | undefined;

  constructor(private readonly minLength: number) {
    super();
  }

  async weakness(password: string, userId: string, language = 'en'): Promise<string | null> {
    const words = WORDS[language] ?? WORDS['en']!;
    if ([...password].length < this.minLength) return words.tooShort(this.minLength);
    this.estimate ??= loadEstimate();
    const { score } = (await this.estimate)(password.slice(0, ESTIMATED_LENGTH), [localpartOf(userId)]);
    return score < LOWEST_SCORE ? words.tooEasy : null;
  }
}

/** Loads the lists with the first new password, not at startup, because they take time and megabytes of memory. */
async function loadEstimate(): Promise<Estimate> {
  const [{ ZxcvbnFactory }, { adjacencyGraphs, dictionary }] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
  ]);
  const zxcvbn = new ZxcvbnFactory({ dictionary, graphs: adjacencyGraphs });
  return (password, userInputs) => zxcvbn.check(password, userInputs);
}
