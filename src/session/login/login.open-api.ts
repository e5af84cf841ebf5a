import type { OpenAPIObject } from '@nestjs/swagger';

const TYPE = 'm.login.password';
const isPassword = (value: unknown) => (value as { type?: unknown } | null)?.type === TYPE;

/** The OpenAPI document without password logins. */
export function withoutPasswordLogin(document: OpenAPIObject): OpenAPIObject {
  const clean = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.filter((one) => !isPassword(one)).map(clean);
    if (typeof value !== 'object' || value === null) return value;
    const kept = Object.entries(value).filter(
      ([, one]) => !isPassword((one as { value?: unknown } | null)?.value),
    );
    return Object.fromEntries(kept.map(([key, one]) => [key, clean(one)]));
  };
  const { paths, components } = document;
  const { properties: told = {} } = (components?.schemas?.['LoginDto'] ?? {}) as { properties?: object };
  const { password: _, ...properties } = told as Record<string, object>;
  const login = clean(paths['/login']) as { post: { requestBody: { content: Record<string, object> } } };
  const [content] = Object.values(login.post.requestBody.content);
  Object.assign(content!, {
    examples: { example: { value: { type: 'm.login.token', token: 'mxl_YWxpY2U_…' } } },
  });
  const LoginDto = {
    type: 'object' as const,
    required: ['type'],
    properties: { ...properties, type: { ...properties['type'], example: 'm.login.token' } },
  };
  return {
    ...document,
    paths: { ...paths, '/login': login as object },
    components: { ...components, schemas: { ...components?.schemas, LoginDto } },
  };
}
