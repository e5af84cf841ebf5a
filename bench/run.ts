import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { Arena } from './arena.js';
import { scenarios } from './scenarios.js';
import { compare } from './throughput.js';

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
  await compare(arena, wanted, { rounds, share: values.quick ? 0.3 : 1 });
} finally {
  await arena.close();
}
