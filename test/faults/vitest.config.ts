import { defineConfig } from 'vitest/config';
import { form } from './support/form.js';
import AttackReport from './support/attack-report.js';

// What it attacks shares the cores with it, so that one file runs at a time. In the short form, which waits for timers
// more than it works, two do.
export default defineConfig({
  test: {
    include: ['test/faults/*.attack.ts'],
    exclude: process.env['NGINX'] ? [] : ['test/faults/2-rolling-restart.attack.ts'],
    setupFiles: ['reflect-metadata'],
    pool: 'forks',
    maxWorkers: form === 'short' ? 2 : 1,
    isolate: false,
    testTimeout: 15 * 60_000,
    hookTimeout: 120_000,
    reporters: ['default', new AttackReport()],
  },
});
