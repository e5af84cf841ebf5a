import { describe, expect, it } from 'vitest';
import { useApp } from '../support/test-app.js';

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
  it('tells where the service is', async () => {
    const { body } = await app().http.get('/.well-known/matrix/client').expect(200);
    expect(body).toEqual({ 'm.homeserver': { base_url: 'https://matrix.example.org' } });
  });
});
