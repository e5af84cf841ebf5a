import { createApplication } from '../../src/application.js';
import type { Composition } from '../../src/composition.js';
import { PASSWORD } from '../../src/testing/matrix-client.js';
import { freePort } from '../support/service-process.js';
import { TestApp } from '../support/test-app.js';
import { Visitor } from '../support/visitor.js';

interface Silent extends Record<'trace' | 'debug' | 'info' | 'warn' | 'error', () => void> {
  getChild(): Silent;
}

const nothing = (): void => {};
/** A logger for js-sdk. */
export const logger: Silent = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  getChild: () => logger,
};

/** Silences the logger of those parts of js-sdk that take none. */
export function silence(rootLogger: object): void {
  (rootLogger as { setLevel(level: string, isKept: boolean): void }).setLevel('silent', false);
}

/** A service whose metadata name the address that it can be reached at, for clients that do HTTP themselves. */
export interface Reachable {
  readonly app: TestApp;
  readonly baseUrl: string;
}

export async function startReachable(variables: Record<string, string> = {}): Promise<Reachable> {
  const port = await freePort();
  const baseUrl = `http://localhost:${port}`;
  const createApp = async (composition: Composition) => {
    const nest = await createApplication(composition);
    // The test kit lets the machine choose the port, but then it is too late for the metadata.
    const listen = () => nest.listen(port, '127.0.0.1');
    return new Proxy(nest, {
      get: (target, name): unknown => (name === 'listen' ? listen : Reflect.get(target, name)),
    });
  };
  const app = await TestApp.start({ variables: { PUBLIC_BASE_URL: baseUrl, ...variables }, createApp });
  return { app, baseUrl };
}

/** What a browser asks for at a URL of the service. */
export function pathOf(url: string): string {
  const { pathname, search } = new URL(url);
  return pathname + search;
}

/**
 * Opens the URL of an app in a new browser, signs the user in there, and decides.
 * @returns where the browser is sent
 */
export async function decide(
  app: TestApp,
  url: string,
  userId: string,
  decision: 'allow' | 'refuse' = 'allow',
): Promise<URL> {
  const visitor = new Visitor(app);
  const signIn = await visitor.follow(await visitor.get(pathOf(url)));
  const consent = await visitor.follow(
    await visitor.submit(signIn, { username: userId, password: PASSWORD }),
  );
  const answer = await visitor.submit(consent, { decision }, { action: '/oauth2/auth' });
  return new URL(answer.headers['location']!);
}
