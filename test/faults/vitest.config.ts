import { defineConfig } from 'vitest/config';
import AttackReport from './support/attack-report.js';

// What it attacks shares two cores with it, so that one file runs at a time. Numbers: support/form.ts.
export default defineConfig({
  test: {
    include: ['test/faults/*.attack.ts'],
    setupFiles: ['reflect-metadata'],
    pool: 'forks',
    maxWorkers: 1,
    isolate: false,
    testTimeout: 15 * 60_000,
    hookTimeout: 120_000,
    reporters: ['default', new AttackReport()],
  },
});
