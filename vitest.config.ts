import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A real nginx is not on every machine; CI brings one and names it.
    exclude: process.env['NGINX'] ? [] : ['test/proxy/**'],
    globalSetup: ['test/support/postgres.global-setup.ts'],
    setupFiles: ['reflect-metadata'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
