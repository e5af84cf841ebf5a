import { readFile, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { CollectorStub } from '../support/collector.js';
import { ServiceProcess } from '../support/service-process.js';

let collector: CollectorStub;
let dataDir: string;

beforeAll(async () => {
  collector = await CollectorStub.start();
  dataDir = await temporaryDirectory();
});
afterAll(async () => {
  await collector?.stop();
  await rm(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

/** Prints every file of the service and its libraries that Node compiles. */
const PRELOAD = `
  import { Session } from 'node:inspector';
  const session = new Session();
  session.connect();
  session.on('Debugger.scriptParsed', ({ params: { url } }) => {
    if (url.endsWith('.js')) console.log('compiled', url);
  });
  session.post('Debugger.enable');
`;

/** The files of OpenTelemetry's SDK that the built service loads, from its start to its end. */
async function loaded(variables: Record<string, string>): Promise<string[]> {
  const service = await ServiceProcess.start({
    DATA_DIR: dataDir,
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(PRELOAD)}`,
    ...variables,
  });
  await service.matrix.logout(await service.matrix.register()).expect(200);
  expect(await service.stop()).toBe(0);
  const compiled = [...service.words.matchAll(/^compiled (file:.+)$/gm)].map(([, url]) =>
    fileURLToPath(url!),
  );
  expect(compiled.length).toBeGreaterThan(10);
  const sources = await Promise.all(compiled.map(sourcesOf));
  return sources.flat().filter((source) => /@opentelemetry\/(?!api\/)/.test(source));
}

/** What has been bundled into a file, or the file itself. */
async function sourcesOf(file: string): Promise<string[]> {
  if (file.includes('/node_modules/')) return [file];
  return (JSON.parse(await readFile(`${file}.map`, 'utf8')) as { sources: string[] }).sources;
}

it('Nothing of OpenTelemetry is loaded without a collector', async () => {
  expect(await loaded({})).toEqual([]);
  expect(await loaded({ OTEL_SERVICE_NAME: 'x', OTEL_TRACES_SAMPLER_ARG: '0.5' })).toEqual([]);
});

it('The built service sends traces to its collector, the last ones when it ends', async () => {
  const files = await loaded({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  expect(files.join('\n')).toContain('@opentelemetry/sdk-trace');
  const request = collector.spans.find(({ name }) => name.endsWith('/logout'))!;
  expect(collector.below(request).map(({ name }) => name)).toContain('COMMIT');
});
