import { expect, it } from 'vitest';
import { OAUTH_VARIABLES } from '../support/oauth.js';
import { useApp } from '../support/test-app.js';

const app = useApp({ variables: { ...OAUTH_VARIABLES, API_DOCS: 'on' } });

it('The API description has the endpoints of OAuth 2.0 and its pages, each once', async () => {
  const { paths } = (await app().http.get('/docs/openapi.json').expect(200)).body as {
    paths: Record<string, Record<string, { operationId: string; summary?: string; tags?: string[] }>>;
  };
  const operations = Object.values(paths).flatMap((item) =>
    ['get', 'post', 'put', 'delete'].flatMap((method) => item[method] ?? []),
  );
  const ids = operations.map(({ operationId }) => operationId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(operations.filter(({ summary = '' }) => summary === '')).toEqual([]);
  const expected = {
    '/_matrix/client/v1/auth_metadata': ['get'],
    '/.well-known/openid-configuration': ['get'],
    '/.well-known/oauth-authorization-server': ['get'],
    '/oauth2/clients': ['post'],
    '/oauth2/auth': ['get'],
    '/oauth2/token': ['post'],
    '/oauth2/revoke': ['post'],
    '/oauth2/device': ['post'],
    '/account': ['get'],
    '/account/login': ['get'],
    '/account/register': ['get'],
    '/account/link': ['get'],
    '/_matrix/static/client/login/': ['get'],
    '/auth/{stage}/fallback/web': ['get'],
  };
  const found = Object.entries(paths).flatMap(([path, item]) =>
    ['get', 'post'].flatMap((method) =>
      item[method]?.tags?.some((tag) => tag === 'OAuth 2.0' || tag === 'Account pages')
        ? [[path, [method]]]
        : [],
    ),
  );
  expect(Object.fromEntries(found)).toEqual(expected);
});

it('The API description says that the endpoints take forms, and promises no error of Matrix', async () => {
  const { paths } = (await app().http.get('/docs/openapi.json').expect(200)).body as {
    paths: Record<string, { post: { requestBody: { content: object }; responses: object } }>;
  };
  for (const path of ['/oauth2/token', '/oauth2/revoke', '/oauth2/device'])
    expect(Object.keys(paths[path]!.post.requestBody.content)).toEqual(['application/x-www-form-urlencoded']);
  for (const path of ['/oauth2/token', '/oauth2/revoke', '/oauth2/device', '/oauth2/clients'])
    expect(JSON.stringify(paths[path]!.post.responses)).not.toContain('errcode');
});
