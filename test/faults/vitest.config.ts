import { defineConfig } from 'vitest/config';
import AttackReport from './support/attack-report.js';

// Two at a time: most of them wait for timers, and starts, more than they work.
export default defineConfig({
  test: {
    include: ['test/faults/*.attack.ts'],
    exclude: process.env['NGINX'] ? [] : ['test/faults/2-rolling-restart.attack.ts'],
    setupFiles: ['reflect-metadata'],
    pool: 'forks',
    maxWorkers: 2,
    isolate: false,
    // The soak takes an hour.
    testTimeout: 75 * 60_000,
    hookTimeout: 120_000,
    reporters: ['default', new AttackReport()],
  },
});
