import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { Arena } from './arena.js';
import { scenarios } from './scenarios.js';
import { compare, straight } from './throughput.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 3 : 5));

console.log(`${cpus().length} x ${cpus()[0]!.model}, Node ${process.version}`);
const arena = await Arena.open();
try {
  const wanted = scenarios.filter(({ name }) => values.only === undefined || name === values.only);
  const share = values.quick ? 0.3 : 1;
  await compare(arena, wanted, { rounds, share });
  if (wanted.some(({ name }) => name === 'logout')) {
    const perSecond = await straight(arena, Math.ceil(3_000 * share), rounds);
    console.log(`logout straight through pg, without HTTP: ${perSecond.toFixed(0)}/s`);
  }
} finally {
  await arena.close();
}
