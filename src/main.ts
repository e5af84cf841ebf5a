import 'reflect-metadata';
import { runCommandLine } from './cli/run.js';

// What a command has left open must not keep the process.
process.exit(await runCommandLine(process.argv.slice(2)));
