import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { Arena } from './arena.js';
import { growth } from './growth.js';
import { introspection, logoutWithSynapse } from './homeserver.js';
import { manyDevices } from './many-devices.js';
import { scenarios, sharing } from './scenarios.js';
import { start } from './start.js';
import { storm } from './storm.js';
import { workers } from './workers.js';
import { compare, straight } from './throughput.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    json: { type: 'string', default: 'bench/results.json' },
  },
});
const { quick, only } = values;
const rounds = Number(values.rounds ?? (quick ? 2 : 5));
/** Rounds of what takes long. */
const few = quick ? 1 : rounds;
const share = quick ? 0.05 : 1;
const whoami = scenarios.find(({ name }) => name === 'whoami')!;
// Once each, one request at a time.
const kinds = [...new Map(scenarios.map((scenario) => [scenario.name, scenario])).values()];

/** Everything that can be measured. */
const sections: Record<string, (arena: Arena) => Promise<unknown>> = {
  throughput: (arena) => compare(arena, under(only) ?? scenarios, { rounds, share }),
  straight: (arena) => straight(arena, Math.ceil(3_000 * share), rounds),
  sharing: (arena) => compare(arena, sharing, { rounds, share }),
  'logout/all': (arena) => manyDevices(arena, quick ? [1, 300] : [1, 100, 1_000, 10_000], few),
  growth: (arena) => growth(arena, kinds, [10_000, 100_000, 1_000_000], rounds),
  start: (arena) => start(arena, few),
  introspection: (arena) => introspection(arena, whoami, Math.ceil(8_000 * share), rounds),
  'logout with synapse': (arena) => logoutWithSynapse(arena, quick ? 20 : 200, few),
  workers: (arena) =>
    workers(
      arena,
      scenarios.filter(({ name, connections }) => ['whoami', 'logout'].includes(name) && connections === 32),
      { counts: [1, Math.max(2, Math.min(4, availableParallelism()))], rounds: few, share },
    ),
  storm: (arena) => storm(arena, whoami, { rounds: few, requests: quick ? 1_000 : 4_000 }),
};
/** These take minutes. */
const NOT_QUICK = new Set(['growth', 'sharing']);

/** The scenarios of a name; `null` when it names none. */
function under(name: string | undefined): typeof scenarios | null {
  const found = scenarios.filter((scenario) => scenario.name === name);
  return found.length === 0 ? null : found;
}

function chosen(): string[] {
  if (only === undefined) return Object.keys(sections).filter((name) => !(quick && NOT_QUICK.has(name)));
  if (under(only) !== null) return ['throughput'];
  if (only in sections) return [only];
  const names = [...kinds.map(({ name }) => name), ...Object.keys(sections)];
  throw new Error(`--only takes one of: ${names.join(', ')}`);
}

const wanted = chosen();
const arena = await Arena.open();
try {
  const machine = {
    cpus: cpus().length,
    model: cpus()[0]!.model,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    postgresql: await arena.postgresVersion(),
  };
  console.log(
    `${machine.cpus} x ${machine.model}, ${machine.memoryGb} GB, Node ${machine.node}, PostgreSQL ${machine.postgresql}`,
  );
  const results: Record<string, unknown> = {};
  for (const name of wanted) results[name] = await sections[name]!(arena);
  const report = { at: new Date().toISOString(), machine, rounds, quick, results };
  await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
  console.log(`Written to ${values.json}`);
} finally {
  await arena.close();
}
