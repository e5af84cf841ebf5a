import { readFileSync } from 'node:fs';

interface Product {
  readonly name: string;
  readonly version: string;
}

/** What the package says of itself: it lies one folder above the bundle, or two above this file. */
function read(): Product {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const found = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as Product;
      if (found.name === 'matrix-session-service') return found;
    } catch {
      // Not there.
    }
  }
  return { name: 'matrix-session-service', version: 'unknown' };
}

/** Name and version of this product. */
export const PRODUCT = read();
