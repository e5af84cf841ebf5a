import { environmentSchema } from '../../src/config/environment.js';
import { limitVariables } from '../../src/config/limits.js';
import { rateLimitVariables } from '../../src/config/rate-limits.js';
import { SECRETS } from '../../src/config/secrets.js';

const defaults: Record<string, string | number | undefined> = environmentSchema.parse({});

/** A row of a table: name, default, description. */
export function rowOf(name: string): string {
  const { description } = environmentSchema.shape[name as keyof typeof environmentSchema.shape];
  const byDefault = defaults[name];
  return `| \`${name}\` |${byDefault === undefined ? '' : ` \`${byDefault}\``} | ${description} |`;
}

/** docs/configuration.md, as it follows from the schema of the variables. */
export function configurationDoc(): string {
  const names = Object.keys(environmentSchema.shape);
  const table = (chosen: readonly string[]) =>
    ['| Variable | Default | |', '|---|---|---|', ...chosen.map(rowOf)].join('\n');
  const limits = new Set([...Object.keys(limitVariables), ...Object.keys(rateLimitVariables)]);
  return `# Configuration

<!-- Made from the schema in src/config. \`npx vitest run test/config --update\` writes it anew. -->

The service reads environment variables and checks them at start. If a value is wrong, the service does not start, and
says what is allowed. An empty value counts as unset. A variable that looks like a misspelt one of these is named in the
log.

\`matrix-session --env-file FILE\` reads variables from a file, with lines such as \`PORT=8448\`. Without that option, a
file named \`.env\` is read if there is one in the working directory. Variables that are set already stay as they are.

Secrets may stand in files. Each of these variables names a file with the value of the variable without \`_FILE\`. White
space at the ends of the file is ignored.

${SECRETS.map((name) => `- \`${name}_FILE\``).join('\n')}

## Variables

${table(names.filter((name) => !limits.has(name)))}

## Limits

[operating.md](operating.md#limits) says what happens beyond each of them.

${table(names.filter((name) => limits.has(name)))}
`;
}
