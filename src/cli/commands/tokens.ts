import { RegistrationTokensController } from '../../admin/tokens/registration-tokens.controller.js';
import { type Context, OPERATOR } from '../context.js';
import { type ListOptions, printList } from '../listing.js';
import { type Columns, timeOf } from '../terminal.js';

/** A registration token as the endpoints for administrators show it. */
interface Token {
  readonly token: string;
  readonly uses_allowed: number | null;
  readonly used: number;
  readonly expires_ts: number | null;
  readonly created_ts: number;
  readonly created_by: string;
}

/** How a token may be used. */
export interface TermsOptions {
  readonly uses?: number | 'any';
  readonly expires?: number | 'never';
}

const COLUMNS: Columns<Token> = [
  ['Token', ({ token }) => token],
  ['Used', ({ used, uses_allowed: most }) => `${used} of ${most ?? 'any number'}`],
  ['Expires', ({ expires_ts }) => timeOf(expires_ts) ?? 'never'],
  ['Created', ({ created_ts }) => timeOf(created_ts)],
  ['By', ({ created_by }) => created_by],
];

export function listTokens(context: Context, options: ListOptions): Promise<void> {
  return context.withService((service) =>
    printList<Token>(context, options, (query) => service.get(RegistrationTokensController).list(query), {
      key: 'registration_tokens',
      columns: COLUMNS,
      none: 'There is no token besides those of REGISTRATION_TOKENS.',
    }),
  );
}

export function createToken(
  context: Context,
  { token, ...terms }: TermsOptions & { token?: string },
): Promise<void> {
  return context.withService(async (service) => {
    const body = { ...(token === undefined ? {} : { token }), ...toBody(terms) };
    await say(
      context,
      (await service.get(RegistrationTokensController).create(OPERATOR, body, context.origin)) as Token,
    );
  });
}

export function showToken(context: Context, token: string): Promise<void> {
  return context.withService(async (service) =>
    say(context, (await service.get(RegistrationTokensController).get(token)) as Token),
  );
}

export function changeToken(context: Context, token: string, terms: TermsOptions): Promise<void> {
  return context.withService(async (service) =>
    say(
      context,
      (await service
        .get(RegistrationTokensController)
        .change(OPERATOR, token, toBody(terms), context.origin)) as Token,
    ),
  );
}

export function revokeToken(context: Context, token: string): Promise<void> {
  return context.withService(async (service) => {
    await context.terminal.confirm(`Revoke the token ${token}?`);
    const answer = await service.get(RegistrationTokensController).revoke(OPERATOR, token, context.origin);
    await context.terminal.answer(answer, () => 'The token is revoked.');
  });
}

function toBody({ uses, expires }: TermsOptions): object {
  return {
    ...(uses === undefined ? {} : { uses_allowed: uses === 'any' ? null : uses }),
    ...(expires === undefined ? {} : { expires_ts: expires === 'never' ? null : expires }),
  };
}

async function say({ terminal }: Context, token: Token): Promise<void> {
  await terminal.answer(token, () => terminal.table([token], COLUMNS, ''));
}
