import type { Environment } from '../../config/environment.js';
import { Metrics } from '../../metrics/metrics.js';
import { SystemClock } from '../../system/clock.js';
import { fail, type Finding, ok, warn } from './finding.js';

const TIMEOUT_MS = 5_000;

/** Asks every server that the configuration names. */
export async function checkRemotes(environment: Environment): Promise<Finding[]> {
  const checks = [checkWebhooks(environment), checkNats(environment), checkHomeserver(environment)];
  return (await Promise.all(checks)).flat();
}

/** Whether each target answers. Nothing is posted: any answer shows that events could arrive. */
async function checkWebhooks(environment: Environment): Promise<Finding[]> {
  if (environment.webhooksFile === null) return [];
  const { webhooksOf } = await import('../../webhooks/webhooks-file.js');
  try {
    return await Promise.all(webhooksOf(environment).map(({ name, url }) => checkTarget(name, url)));
  } catch (error) {
    return [fail((error as Error).message, 'docs/events.md shows what the file looks like.')];
  }
}

async function checkTarget(name: string, url: string): Promise<Finding> {
  try {
    const answer = await fetch(url, {
      method: 'HEAD',
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await answer.body?.cancel();
    return ok(`${name} answers`);
  } catch (error) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? cause.message : message;
    return warn(`${name} cannot be reached: ${reason}`, 'Events wait for it until they are buried.');
  }
}

async function checkNats({ natsUrl }: Environment): Promise<Finding[]> {
  if (natsUrl === null) return [];
  const { natsOptions } = await import('../../nats/nats-subscriber.js');
  const { connect } = await import('@nats-io/transport-node');
  try {
    const options = { ...natsOptions(new URL(natsUrl)), maxReconnectAttempts: 0, timeout: TIMEOUT_MS };
    const connection = await connect(options);
    await connection.close();
    return [ok('NATS answers')];
  } catch (error) {
    return [
      warn(`NATS cannot be used: ${(error as Error).message}`, 'Events wait for it until they are buried.'),
    ];
  }
}

async function checkHomeserver(environment: Environment): Promise<Finding[]> {
  if (environment.homeserver.url === null) return [];
  const { SynapseHomeserver } = await import('../../homeserver/synapse/synapse.homeserver.js');
  const homeserver = new SynapseHomeserver(environment, new Metrics(null), new SystemClock());
  try {
    const problems = await homeserver.problems();
    const advice =
      'docs/homeserver.md says how the two are set up. Synapse asks back, so the service must be running.';
    if (problems.length === 0) return [ok('The homeserver answers, and trusts this service')];
    return problems.map((problem) => fail(problem, advice));
  } finally {
    await homeserver.onApplicationShutdown();
  }
}
