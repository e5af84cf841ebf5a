import { afterAll } from 'vitest';
import { specOracle } from './spec-oracle.js';

afterAll(() => {
  const violations = specOracle?.violations.splice(0) ?? [];
  if (violations.length > 0)
    throw new Error(`Not what the official description says:\n${violations.join('\n')}`);
});
