import type { ClientBase, PoolClient } from 'pg';
import type { Tracing } from '../system/tracing.js';
import type { Statement } from './tx.js';

/** What a statement without a name is called: by its first word, because the text may hold anything. */
const FIRST_WORD = /^\s*([a-z]+)/i;

/** Records a statement by its name, never with its values. */
export function tracedStatement<Result>(
  tracing: Tracing,
  { name, text }: Partial<Statement>,
  send: () => Promise<Result>,
): Promise<Result> {
  if (!tracing.isOn) return send();
  const summary = name ?? FIRST_WORD.exec(text ?? '')?.[1]?.toUpperCase() ?? 'statement';
  const attributes = { 'db.system.name': 'postgresql', 'db.query.summary': summary };
  return tracing.span(summary, { kind: 'client', attributes }, send);
}

/** Wraps the connection to record its statements. */
export function traced(client: PoolClient, tracing: Tracing): PoolClient {
  if (!tracing.isOn) return client;
  return Object.create(client, {
    query: {
      value: (...query: Parameters<ClientBase['query']>): unknown => {
        const [statement] = query as unknown as [string | Partial<Statement>];
        // A stream of rows is read by whoever asked for it.
        if (typeof statement === 'object' && 'submit' in statement) return client.query(...query);
        const named = typeof statement === 'string' ? { text: statement } : statement;
        return tracedStatement(tracing, named, () => client.query(...query) as unknown as Promise<unknown>);
      },
    },
  }) as PoolClient;
}
