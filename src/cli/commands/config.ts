import * as z from 'zod';
import { Environment, EnvironmentError, environmentSchema } from '../../config/environment.js';
import { SECRETS } from '../../config/secrets.js';
import type { Context } from '../context.js';
import type { Variables } from '../variables.js';

/** One variable as `config` shows it. */
interface Setting {
  readonly name: string;
  /** `null`: unset, and without a default. */
  readonly value: string | null;
  readonly source: string;
}

const HIDDEN = '(hidden)';

/** Shows every variable, its value and where that comes from. Secrets are hidden. */
export async function showConfig(context: Context, { set = false }: { set?: boolean }): Promise<number> {
  const { terminal, variables } = context;
  const settings = Object.entries(environmentSchema.shape)
    .map(([name, schema]) => settingOf(name, schema as z.ZodType, variables))
    .filter(({ source }) => !set || source !== 'default');
  const problems = problemsOf(variables);
  const misspelt = Environment.misspeltIn(variables.values);
  await terminal.answer({ settings, problems, misspelt }, async () =>
    [
      await terminal.table(
        settings,
        [
          ['Variable', ({ name }) => name],
          ['Value', ({ value }) => value],
          ['Source', ({ source }) => (source === 'default' ? terminal.paint('dim', source) : source)],
        ],
        'No variable is set.',
      ),
      ...problems.map((problem) => terminal.paint('red', problem)),
      ...misspelt.map(({ name, meant }) =>
        terminal.paint('yellow', `The variable ${name} is read by nobody. Is ${meant} meant?`),
      ),
    ].join('\n'),
  );
  return problems.length > 0 ? 1 : 0;
}

function settingOf(name: string, schema: z.ZodType, { values, file, fromFile }: Variables): Setting {
  const isSecret = (SECRETS as readonly string[]).includes(name);
  const inFile = values[`${name}_FILE`];
  if (isSecret && inFile) return { name, value: HIDDEN, source: `${name}_FILE, ${inFile}` };
  const value = values[name];
  if (value)
    return {
      name,
      value: isSecret ? HIDDEN : value,
      source: fromFile.has(name) ? `file ${file}` : 'environment',
    };
  const byDefault = schema.safeParse(undefined);
  const { data } = byDefault;
  return {
    name,
    value: typeof data === 'string' || typeof data === 'number' ? String(data) : null,
    source: 'default',
  };
}

function problemsOf({ values }: Variables): readonly string[] {
  try {
    Environment.load(values);
    return [];
  } catch (error) {
    if (error instanceof EnvironmentError) return error.problems;
    throw error;
  }
}
