import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { PASSWORD } from '../../src/testing/matrix-client.js';
import { OAuthClient } from './oauth.js';
import { OwnPostgres } from './own-postgres.js';
import { freePort, ServiceProcess } from './service-process.js';

/** A desktop, as most people have one. */
const DESKTOP = { width: 1280, height: 800 };

/** Chromium, before the built service, which runs as an operator runs it. */
export class Chromium {
  static async start(variables: Readonly<Record<string, string>> = {}): Promise<Chromium> {
    const postgres = await OwnPostgres.start();
    const port = String(await freePort());
    const baseUrl = `http://localhost:${port}`;
    const service = await ServiceProcess.start({
      DATABASE_URL: postgres.url,
      PORT: port,
      PUBLIC_BASE_URL: baseUrl,
      PAGES_NAME: 'Example Server',
      ...variables,
    });
    const browser = await chromium.launch({
      executablePath: process.env['CHROMIUM']!,
      // It has no sandbox for root.
      args: ['--no-sandbox'],
    });
    return new Chromium(baseUrl, postgres, service, browser);
  }

  private readonly complaints: string[] = [];
  private readonly sites: Site[] = [];

  private constructor(
    readonly baseUrl: string,
    readonly postgres: OwnPostgres,
    readonly service: ServiceProcess,
    private readonly browser: Browser,
  ) {}

  /** A page in a browser of its own, with cookies of its own. */
  async open(options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({
      baseURL: this.baseUrl,
      locale: 'en-GB',
      viewport: DESKTOP,
      ...options,
    });
    context.setDefaultTimeout(5_000);
    const visited = new Set<string>();
    context.on('request', (request) => {
      if (request.isNavigationRequest()) visited.add(request.url());
    });
    context.on('console', (message) => {
      // A page that is sent with an error counts as one.
      const isStatus = message.text().startsWith('Failed to load resource: the server responded with');
      if (message.type() === 'error' && !(isStatus && visited.has(message.location().url)))
        this.complaints.push(`${message.text()} (${message.location().url})`);
    });
    context.on('weberror', (error) => this.complaints.push(String(error.error())));
    return context.newPage();
  }

  /** The same, signed in. */
  async openAs(user: string, next = '/account', options: BrowserContextOptions = {}): Promise<Page> {
    const page = await this.open(options);
    await page.goto(`/account/login?continue=${encodeURIComponent(next)}`);
    await signIn(page, user);
    return page;
  }

  registerClient(metadata: object): Promise<OAuthClient> {
    return OAuthClient.register(this.service, metadata);
  }

  /** Errors of scripts, and what the Content Security Policy has blocked, since the last call. */
  takeComplaints(): string[] {
    return this.complaints.splice(0);
  }

  /** A site of somebody else, until the end of the test. */
  async site(html: string): Promise<Site> {
    const site = await Site.start(html);
    this.sites.push(site);
    return site;
  }

  /** Closes what a test has opened: pages first, which would complain of a site that is gone. */
  async closePages(): Promise<void> {
    await Promise.all(this.browser.contexts().map((context) => context.close()));
    await Promise.all(this.sites.splice(0).map((site) => site.stop()));
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await this.service.stop();
    await this.postgres.stop();
  }
}

/** One service and one Chromium for all tests of a file. No page may complain of anything. */
export function useChromium(variables?: Readonly<Record<string, string>>): () => Chromium {
  let browser: Chromium | undefined;
  beforeAll(async () => {
    browser = await Chromium.start(variables);
  });
  afterEach(async () => {
    await browser!.closePages();
    expect(browser!.takeComplaints()).toEqual([]);
  });
  afterAll(() => browser?.stop());
  return () => browser!;
}

/** Fills in the page that is open. */
export async function signIn(page: Page, user: string, password = PASSWORD): Promise<void> {
  await page.locator('[name=username]').fill(user);
  await page.locator('[name=password]').fill(password);
  await page.locator('button.main').click();
}

/** A site of somebody else, on loopback. */
export class Site {
  static async start(html: string): Promise<Site> {
    const site = new Site(
      createServer((request, response) => {
        site.visits.push(new URL(request.url!, site.origin).pathname);
        response.setHeader('Content-Type', 'text/html; charset=utf-8').end(html);
      }).listen(0, '127.0.0.1'),
    );
    await once(site.server, 'listening');
    return site;
  }

  private readonly visits: string[] = [];

  private constructor(private readonly server: Server) {}

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** How often browsers have asked for a path. */
  visitsOf(path: string): number {
    return this.visits.filter((visit) => visit === path).length;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
