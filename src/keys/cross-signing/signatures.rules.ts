import { requireFew } from '../../admission/bounds.rules.js';
import { isObject } from '../../matrix/json.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import type { SignedJson } from '../../matrix/signed-json.js';

/** One object that somebody has signed. */
export interface SignedItem {
  /** The user whose device or key it is. */
  readonly userId: string;
  /** The device ID or the public key. */
  readonly name: string;
  readonly object: SignedJson;
}

/**
 * Returns the objects of a `POST /keys/signatures/upload`.
 * @throws {MatrixError} `M_BAD_JSON`; `M_INVALID_PARAM` if there are too many
 */
export function toSignedItems(body: object, most: number): SignedItem[] {
  const items = Object.entries(body).flatMap(([userId, objects]) => {
    if (!isObject(objects)) throw MatrixError.badJson(`${userId} must hold an object of signed objects`);
    return Object.entries(objects).map(([name, object]) => {
      if (!isObject(object)) throw MatrixError.badJson(`${userId}.${name} must be a signed object`);
      return { userId, name, object };
    });
  });
  requireFew('LIMIT_SIGNED_OBJECTS', 'signed objects in a request', items.length, most);
  return items;
}
