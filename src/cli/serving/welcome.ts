import type { Environment } from '../../config/environment.js';
import { PRODUCT } from '../../system/product.js';
import type { EmbeddedPostgres } from '../../database/embedded/embedded-postgres.js';

/** Whoever has started the service starts it again, with a new server. */
export const LOST = 'The embedded PostgreSQL has ended, so the service ends, too. Start it again';

/** What a start prints: where everything is, and commands to try it out. */
export function welcome(
  environment: Environment,
  url: string,
  embedded: EmbeddedPostgres | null,
  isTerminal: boolean,
): string {
  const { serverName, registration, apiDocs, oauth } = environment;
  const bold = (text: string) => (isTerminal ? `\u001B[1m${text}\u001B[0m` : text);
  const api = `${url}/_matrix/client/v3`;
  const lines = [
    '',
    bold(`Matrix session service ${PRODUCT.version} for ${serverName}`),
    `  listens on  ${url}`,
    `  data in     ${whereDataIs(embedded)}`,
    ...(apiDocs ? [`  API docs    ${url}/docs`] : []),
    ...(oauth.isOn ? [`  accounts    ${oauth.pagesUrl}/account`] : []),
  ];
  if (registration === 'open') {
    lines.push(
      '  warning     registration is open: whoever reaches this address may create accounts (REGISTRATION=closed)',
      '',
      'Create a user, and log out:',
      `  TOKEN=$(curl -s ${api}/register -d '{"username":"alice'$RANDOM'","password":"down-the-rabbit-hole","auth":{"type":"m.login.dummy"}}' | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`,
      `  curl ${api}/account/whoami -H "Authorization: Bearer $TOKEN"`,
      `  curl -X POST ${api}/logout -H "Authorization: Bearer $TOKEN"`,
    );
  }
  return lines.concat('').join('\n');
}

/** The same in one line, for logs. */
export function listening({ serverName }: Environment, url: string): string {
  return `Matrix session service ${PRODUCT.version} for ${serverName} listens on ${url}`;
}

function whereDataIs(embedded: EmbeddedPostgres | null): string {
  if (embedded === null) return 'the PostgreSQL of DATABASE_URL';
  const whose = embedded.isShared ? ', which another process started and will stop' : '';
  return `${embedded.home} (embedded PostgreSQL${whose})`;
}
