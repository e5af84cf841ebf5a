import type { NestExpressApplication } from '@nestjs/platform-express';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { PRODUCT } from '../system/product.js';
import { CLIENT_R0, CLIENT_V3 } from './client-api.decorators.js';

/** The server that the page comes from, so that "Try it out" calls it. */
const HERE = { url: `/${CLIENT_V3}`, description: 'This service' };
const ROOT_HERE = { url: '/', description: 'This service' };

/** In the order in which a newcomer would read them. */
const TAGS = [
  'Session management',
  'Account management',
  'OAuth 2.0',
  'Account pages',
  'Device management',
  'End-to-end encryption',
  'Capabilities',
  'Server administration',
  'Audit',
  'Events',
  'Reconciler',
  'Health',
];

/** The server as in the official description: a template that the reader fills in. */
const SERVER = {
  url: '{protocol}://{hostname}{basePath}',
  variables: {
    protocol: { enum: ['http', 'https'], default: 'https' },
    hostname: { default: 'localhost:8008' },
    basePath: { default: `/${CLIENT_V3}` },
  },
};

/** For paths outside the client-server API's version 3. */
const ROOT_SERVER = {
  url: '{protocol}://{hostname}',
  variables: { protocol: SERVER.variables.protocol, hostname: SERVER.variables.hostname },
};

/** Serves Swagger UI at `/docs` and the document at `/docs/openapi.json`. The document is made on first use. */
export function serveApiDocs(
  app: NestExpressApplication,
  publicBaseUrl: string,
  edit: (document: OpenAPIObject) => OpenAPIObject = (document) => document,
): void {
  let made: OpenAPIObject | undefined;
  const document = () => (made ??= edit(describe(app, publicBaseUrl)));
  SwaggerModule.setup('docs', app, document, {
    raw: ['yaml'],
    yamlDocumentUrl: 'docs/openapi.yaml',
    customSiteTitle: 'Matrix session service',
  });
  // Nest's own route for JSON would add a character set to the content type.
  const http = app.getHttpAdapter();
  http.get('/docs/openapi.json', (_: unknown, response: unknown) => http.reply(response, document(), 200));
}

function describe(app: NestExpressApplication, publicBaseUrl: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Matrix session service')
    .setDescription(
      'The sessions of Matrix users: how they begin, are refreshed and, above all, end. It speaks version 1.19 of the ' +
        'client-server API.',
    )
    .setVersion(PRODUCT.version)
    .setOpenAPIVersion('3.1.0')
    .addServer(HERE.url, HERE.description)
    .addServer(SERVER.url, undefined, SERVER.variables)
    .addServer(`${publicBaseUrl.replace(/\/$/, '')}/${CLIENT_V3}`, 'Where clients reach it')
    .addSecurity('accessTokenQuery', {
      type: 'apiKey',
      in: 'query',
      name: 'access_token',
      description: 'Deprecated: the access token as a query parameter.',
    })
    .addSecurity('accessTokenBearer', {
      type: 'http',
      scheme: 'bearer',
      description: 'The access token in the Authorization header. This is the preferred way.',
    })
    .build();
  const document = SwaggerModule.createDocument(app, config);
  const used = new Set(tagsOf(document.paths));
  const tags = TAGS.filter((name) => used.has(name)).map((name) => ({ name }));
  return { ...document, tags, paths: inOrder(relativeToServer(document.paths)) };
}

/** Paths in the order of their tags. Tags of other teams come last. */
function inOrder(paths: OpenAPIObject['paths']): OpenAPIObject['paths'] {
  const rankOf = (path: string) => {
    const [tag = ''] = tagsOf({ [path]: paths[path]! });
    return TAGS.includes(tag) ? TAGS.indexOf(tag) : TAGS.length;
  };
  const sorted = Object.entries(paths).toSorted(([one], [other]) => rankOf(one) - rankOf(other));
  return Object.fromEntries(sorted);
}

function tagsOf(paths: OpenAPIObject['paths']): string[] {
  const operations = Object.values(paths).flatMap((item) => Object.values(item) as { tags?: string[] }[]);
  return operations.flatMap(({ tags }) => tags ?? []);
}

/** Paths as in the official description, relative to version 3. Leaves out the aliases under `r0`. */
function relativeToServer(paths: OpenAPIObject['paths']): OpenAPIObject['paths'] {
  const told = Object.entries(paths).filter(([path]) => !path.startsWith(`/${CLIENT_R0}/`));
  return Object.fromEntries(
    told.map(([path, item]) =>
      path.startsWith(`/${CLIENT_V3}/`)
        ? [path.slice(CLIENT_V3.length + 1), item]
        : [path, { ...item, servers: [ROOT_HERE, ROOT_SERVER] }],
    ),
  );
}
