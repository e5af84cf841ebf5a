import { AuditController } from '../../audit/audit.controller.js';
import type { Context } from '../context.js';
import { type ListOptions, printList } from '../listing.js';
import { type Columns, timeOf } from '../terminal.js';

/** An entry as the endpoints for administrators show it. */
interface Entry {
  readonly ts: number;
  readonly user_id: string;
  readonly device_id: string | null;
  readonly action: string;
  readonly reason: string | null;
  readonly operation: string | null;
  readonly actor: string | null;
  readonly address: string | null;
}

const COLUMNS: Columns<Entry> = [
  ['Time', ({ ts }) => timeOf(ts)],
  ['Action', ({ action }) => action],
  ['User', ({ user_id }) => user_id],
  ['Device', ({ device_id }) => device_id],
  ['Reason', ({ reason }) => reason],
  ['Operation', ({ operation }) => operation],
  ['By', ({ actor }) => actor],
  ['Address', ({ address }) => address],
];

export function listAudit(
  context: Context,
  { user, ...options }: ListOptions & { user?: string },
): Promise<void> {
  return context.withService((service) => {
    const of = user === undefined ? {} : { userId: context.userId(user) };
    const audit = service.get(AuditController);
    return printList<Entry>(context, { ...options, ...of }, (query) => audit.list(query), {
      key: 'entries',
      columns: COLUMNS,
      none: 'There is no such entry.',
    });
  });
}
