import type { Entropy } from '../../system/entropy.js';

/** No vowels, so that no words come out, and nothing that looks alike (RFC 8628, section 6.1). */
const ALPHABET = 'BCDFGHJKLMNPQRSTVWXZ';
const LENGTH = 8;

/** A new code for the user to type. */
export function newUserCode(entropy: Entropy): string {
  return entropy.text(LENGTH, ALPHABET);
}

/** The code as people see it. */
export function shownUserCode(code: string): string {
  return `${code.slice(0, LENGTH / 2)}-${code.slice(LENGTH / 2)}`;
}

/** Reads a code as people type it: in any case, with or without dash and blanks. `null`: it cannot be one. */
export function readUserCode(typed: string): string | null {
  const code = typed.toUpperCase().replaceAll(/[\s\p{Pd}_.]/gu, '');
  return code.length === LENGTH && [...code].every((letter) => ALPHABET.includes(letter)) ? code : null;
}
