import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import LongestFirst from './test/support/longest-first.js';

const built = (file: string) => fileURLToPath(new URL(`dist/${file}`, import.meta.url));

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'examples/*/test/**/*.test.ts'],
    // Real servers that are not on every machine; CI brings them and names them.
    exclude: [
      ...(process.env['NGINX'] ? [] : ['test/proxy/**']),
      ...(process.env['NATS_SERVER'] ? [] : ['test/nats/**']),
      ...(process.env['PGBOUNCER'] ? [] : ['test/pooler/**']),
      ...(process.env['POSTGRES_BIN'] ? [] : ['test/backup/**']),
      ...(process.env['SYNAPSE'] && process.env['NGINX'] ? [] : ['test/synapse/**']),
      ...(process.env['CHROMIUM'] ? [] : ['test/chromium/**']),
      ...(process.env['PROMTOOL'] ? [] : ['test/deploy/promtool/**']),
      ...(process.env['SYSTEMD_ANALYZE'] ? [] : ['test/deploy/systemd/**']),
      ...(process.env['KUBECTL'] ? [] : ['test/deploy/kustomize/**']),
    ],
    // Examples know the package by its name: what was built stands for what would be installed.
    alias: {
      'matrix-session-service/testing': built('testing/index.js'),
      'matrix-session-service': built('index.js'),
    },
    globalSetup: ['test/support/postgres.global-setup.ts'],
    setupFiles: ['reflect-metadata', 'test/support/spec-oracle.setup.ts'],
    pool: 'forks',
    // One for each core: with more, tests that watch timing fail now and then.
    maxWorkers: Math.max(2, availableParallelism()),
    // Each file has databases and applications of its own; loading the libraries anew for each took a minute.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
