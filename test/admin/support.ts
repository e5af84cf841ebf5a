import type { TestApp } from '../support/test-app.js';

export const ADMIN_TOKEN = 'an-admin-token-of-the-tests-4711';
const ROOT = '/_session/v1/admin';

/** Calls the endpoints of administrators with `ADMIN_TOKEN`. */
export class Administrator {
  constructor(private readonly app: () => TestApp) {}

  get(path: string) {
    return this.app().http.get(`${ROOT}${path}`).auth(ADMIN_TOKEN, { type: 'bearer' });
  }

  post(path: string, body?: object) {
    const call = this.app().http.post(`${ROOT}${path}`).auth(ADMIN_TOKEN, { type: 'bearer' });
    return body === undefined ? call : call.send(body);
  }

  put(path: string, body: object) {
    return this.app().http.put(`${ROOT}${path}`).auth(ADMIN_TOKEN, { type: 'bearer' }).send(body);
  }

  delete(path: string) {
    return this.app().http.delete(`${ROOT}${path}`).auth(ADMIN_TOKEN, { type: 'bearer' });
  }

  /** Every page of a list. */
  async all<Item>(path: string, name: string): Promise<Item[]> {
    const items: Item[] = [];
    let from: string | undefined;
    do {
      const next =
        from === undefined ? '' : `${path.includes('?') ? '&' : '?'}from=${encodeURIComponent(from)}`;
      const { body } = (await this.get(path + next).expect(200)) as { body: Record<string, unknown> };
      items.push(...(body[name] as Item[]));
      from = body['next_batch'] as string | undefined;
    } while (from !== undefined);
    return items;
  }

  /** The job, when it is no longer running. */
  async finished(jobId: string): Promise<Record<string, unknown>> {
    for (let turn = 0; turn < 2_000; turn += 1) {
      const { body } = (await this.get(`/jobs/${jobId}`).expect(200)) as { body: Record<string, unknown> };
      if (body['state'] !== 'running') return body;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error('The job does not end');
  }
}
