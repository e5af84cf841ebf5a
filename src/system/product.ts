import { readFileSync } from 'node:fs';

interface Product {
  readonly name: string;
  readonly version: string;
}

/** Reads `package.json`, which is one folder above the bundle, or two above this file. */
function read(): Product {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const found = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as Product;
      if (found.name === 'matrix-session-service') return found;
    } catch {
      // Try the next path.
    }
  }
  return { name: 'matrix-session-service', version: 'unknown' };
}

/** Name and version of this product. */
export const PRODUCT = read();
