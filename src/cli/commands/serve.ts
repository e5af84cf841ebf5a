import cluster from 'node:cluster';
import { Environment } from '../../config/environment.js';
import type { Context } from '../context.js';
import type { Node } from '../serving/node.js';
import { Primary, WorkerFailed } from '../serving/primary.js';
import { Voice } from '../serving/voice.js';

/** Serves until a signal comes. It ends the process itself, because after a deadline nothing is waited for. */
export async function serve(context: Context): Promise<number> {
  // Before the log can handle it, it would end the process.
  process.on('SIGUSR2', () => {});
  const { variables } = context;
  const voice = await Voice.open(variables);
  let served: Node | Primary | null = null;
  try {
    const environment = Environment.load(variables.values);
    if (cluster.isPrimary)
      for (const { name, meant } of Environment.misspeltIn(variables.values))
        voice.warn(`The variable ${name} is read by nobody. Is ${meant} meant?`);
    const isPrimary = cluster.isPrimary && environment.workers > 1;
    // A primary has no use for the application, which takes memory.
    const serving = isPrimary
      ? new Primary(environment, voice)
      : new (await import('../serving/node.js')).Node(context, environment, voice);
    served = serving;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void serving.stop(0));
    await serving.start();
    return await new Promise(() => {});
  } catch (error) {
    if (!(error instanceof WorkerFailed)) voice.tell(error);
    voice.jsonLines?.flush();
    return (await served?.stop(1)) ?? 1;
  }
}
