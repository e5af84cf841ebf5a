import { afterAll } from 'vitest';
import { secretWatch } from './secret-watch.js';
import { specOracle } from './spec-oracle.js';

afterAll(() => {
  const violations = specOracle?.violations.splice(0) ?? [];
  if (violations.length > 0)
    throw new Error(`Not what the official description says:\n${violations.join('\n')}`);
});

afterAll(() => {
  const leaks = secretWatch.leaks();
  if (leaks.length > 0) throw new Error(`Secrets were logged:\n${leaks.join('\n')}`);
});
