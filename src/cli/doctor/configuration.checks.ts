import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { Environment } from '../../config/environment.js';
import type { Variables } from '../variables.js';
import { either, type Finding, ok, warn } from './finding.js';

/** The embedded server needs this much to go on. */
const LEAST_FREE_BYTES = 1024 ** 3;

/** What can be said of a valid configuration without asking anybody. */
export async function checkConfiguration(
  environment: Environment,
  { values }: Variables,
): Promise<Finding[]> {
  const { databaseUrl, production, registration, publicBaseUrl, dataDir } = environment;
  const misspelt = Environment.misspeltIn(values);
  return [
    ok('The configuration is valid'),
    ...misspelt.map(({ name, meant }) => warn(`${name} is set, and read by nobody`, `Is ${meant} meant?`)),
    ...(production && registration === 'open'
      ? [
          warn(
            'Everybody may create an account',
            'Set REGISTRATION=token or closed, unless that is intended.',
          ),
        ]
      : []),
    ...(production && publicBaseUrl.startsWith('http:')
      ? [
          warn(
            `Clients are told ${publicBaseUrl}, without TLS`,
            'Set PUBLIC_BASE_URL to the https:// URL of the proxy.',
          ),
        ]
      : []),
    ...(databaseUrl === null ? [await checkDisk(dataDir)] : []),
  ];
}

async function checkDisk(dataDir: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(existsSync(dataDir) ? dataDir : '.');
  const free = `${Math.round((bavail * bsize) / 1024 ** 2)} MiB are free in ${dataDir}`;
  return either(
    bavail * bsize >= LEAST_FREE_BYTES,
    ok(free),
    warn(free, 'PostgreSQL stops when the disk is full.'),
  );
}
