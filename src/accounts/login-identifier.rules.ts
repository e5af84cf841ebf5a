import { type CountryCode, isSupportedCountry, parsePhoneNumberFromString } from 'libphonenumber-js';
import { MatrixError } from '../matrix/matrix-error.js';

/** The user that a login names ("Identifier types"). */
export type Login =
  | { readonly type: 'm.id.user'; readonly user: string }
  | { readonly type: 'm.id.thirdparty'; readonly medium: string; readonly address: string }
  | { readonly type: 'm.id.phone'; readonly country: string; readonly phone: string };

/** The fields in which a request names its user. The top-level ones are deprecated but still specified. */
export interface Named {
  readonly identifier?: unknown;
  readonly user?: unknown;
  readonly medium?: unknown;
  readonly address?: unknown;
}

/**
 * Returns the user that a request names.
 * @throws {MatrixError} `M_MISSING_PARAM`, `M_BAD_JSON`, or `M_UNKNOWN` for an identifier of another type
 */
export function toLogin({ identifier: given, ...all }: Named): Login {
  // As everywhere, `null` counts as absent.
  const identifier = given ?? undefined;
  const named = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as Named;
  if (identifier === undefined) {
    if (named.user !== undefined) return { type: 'm.id.user', user: text(named, 'user') };
    if (named.medium === undefined && named.address === undefined)
      throw MatrixError.missingParam('identifier');
    return threepid(named);
  }
  if (typeof identifier !== 'object' || Array.isArray(identifier)) {
    throw MatrixError.badJson('identifier must be an object');
  }
  const type = text(identifier, 'type');
  switch (type) {
    case 'm.id.user':
      return { type, user: text(identifier, 'user') };
    case 'm.id.thirdparty':
      return threepid(identifier);
    case 'm.id.phone':
      return { type, country: text(identifier, 'country'), phone: text(identifier, 'phone') };
    default:
      throw new MatrixError(400, 'M_UNKNOWN', 'Unknown type of identifier');
  }
}

/**
 * The canonical form of a telephone number as it is dialled in its country.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function toMsisdn({ country, phone }: { readonly country: string; readonly phone: string }): string {
  const code = country.toUpperCase();
  const number = isSupportedCountry(code)
    ? parsePhoneNumberFromString(phone, code satisfies CountryCode)
    : undefined;
  if (number === undefined) throw MatrixError.invalidParam('This is no telephone number of that country');
  return number.number.slice(1);
}

function threepid(named: object): Login {
  const medium = text(named, 'medium');
  const address = text(named, 'address');
  return { type: 'm.id.thirdparty', medium, address: medium === 'email' ? address.toLowerCase() : address };
}

function text(from: object, key: string): string {
  const value = (from as Record<string, unknown>)[key];
  if (value === undefined) throw MatrixError.missingParam(key);
  if (typeof value !== 'string') throw MatrixError.badJson(`${key} must be a string`);
  return value;
}
