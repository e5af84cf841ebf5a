import { describe, expect, it } from 'vitest';
import { TestApp, useApp } from '../support/test-app.js';

const app = useApp({ variables: { PUBLIC_BASE_URL: 'https://matrix.example.org' } });

describe('GET /_matrix/client/versions', () => {
  it('lists versions up to 1.19, and never v1.0', async () => {
    const { body } = await app().http.get('/_matrix/client/versions').expect(200);
    expect(body.versions).toContain('v1.19');
    expect(body.versions).not.toContain('v1.0');
    expect(body.versions).not.toContain('v1.20');
  });
});

describe('GET /.well-known/matrix/client', () => {
  it('returns the base URL of the service', async () => {
    const { body } = await app().http.get('/.well-known/matrix/client').expect(200);
    expect(body).toEqual({ 'm.homeserver': { base_url: 'https://matrix.example.org' } });
  });
});

describe('GET /', () => {
  it('describes the service: as a page with links for a browser, otherwise as JSON', async () => {
    const page = await app()
      .http.get('/')
      .set('Accept', 'text/html,application/xhtml+xml,*/*;q=0.8')
      .expect(200);
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    expect(page.text).toContain('href="/docs"');
    expect(page.text).toContain('localhost');
    for (const accept of ['*/*', 'application/json']) {
      const { body, headers } = await app().http.get('/').set('Accept', accept).expect(200);
      expect(headers['content-type']).toBe('application/json');
      expect(body).toMatchObject({ name: 'Matrix session service', server_name: 'localhost', docs: '/docs' });
    }
    await app().http.post('/').expect(405);
  });

  it('has an icon, and does not link to docs that are off', async () => {
    await app().http.get('/favicon.ico').expect(200).expect('Content-Type', /svg/);
    const closed = await TestApp.start({ database: app().database, variables: { API_DOCS: 'off' } });
    try {
      expect((await closed.http.get('/').set('Accept', 'text/html').expect(200)).text).not.toContain('/docs');
      expect((await closed.http.get('/').expect(200)).body).not.toHaveProperty('docs');
    } finally {
      await closed.stop();
    }
  });
});
