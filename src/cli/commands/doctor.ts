import { EnvironmentError } from '../../config/environment.js';
import type { Context } from '../context.js';
import { checkConfiguration } from '../doctor/configuration.checks.js';
import { checkDatabase } from '../doctor/database.checks.js';
import { fail, type Finding, type Severity } from '../doctor/finding.js';
import { checkRemotes } from '../doctor/remote.checks.js';
import { reasonOf } from '../start-failure.js';

const SHOWN: Readonly<Record<Severity, readonly [word: string, color: 'green' | 'yellow' | 'red']>> = {
  ok: ['ok  ', 'green'],
  warn: ['warn', 'yellow'],
  fail: ['FAIL', 'red'],
};

/** Looks for whatever keeps the service from running well, and says what to do. Returns 1 if something failed. */
export async function doctor(context: Context): Promise<number> {
  const { terminal } = context;
  const findings = await lookAtAll(context);
  await terminal.answer({ findings }, () =>
    findings
      .map(({ severity, what, advice }) => {
        const [word, color] = SHOWN[severity];
        return [
          `${terminal.paint(color, word)}  ${what}`,
          ...(advice === null ? [] : [`      ${advice}`]),
        ].join('\n');
      })
      .join('\n'),
  );
  return findings.some(({ severity }) => severity === 'fail') ? 1 : 0;
}

async function lookAtAll(context: Context): Promise<Finding[]> {
  try {
    const environment = context.environment();
    return [
      ...(await checkConfiguration(environment, context.variables)),
      ...(await context.withDatabase(environment, async (database) =>
        checkDatabase(environment, database, await context.connectionOptions(environment, database)),
      )),
      ...(await checkRemotes(environment)),
    ];
  } catch (error) {
    if (error instanceof EnvironmentError)
      return error.problems.map((problem) => fail(problem, 'docs/configuration.md lists every variable.'));
    return [fail(reasonOf(error), 'The service could not start either.')];
  }
}
