import * as z from 'zod';
import { instant } from '../body.rules.js';

const text = (most: number) => z.string().min(1).max(most);

/** Which sessions are meant: those that meet every condition. As query parameters and as a body. */
export const filterShape = {
  user_id: text(255).optional().meta({ description: 'Of this user.' }),
  device_id: text(255).optional().meta({ description: 'On a device of this ID.' }),
  client_id: text(255).optional().meta({ description: 'Of this OAuth 2.0 client.' }),
  user_agent: text(512)
    .optional()
    .meta({ description: 'Last seen with a User-Agent that contains this text.' }),
  address: text(64)
    .regex(/^[0-9a-f.:]+(\/\d{1,3})?$/i, 'must be an IP address or a network, such as 192.0.2.0/24')
    .optional()
    .meta({ description: 'Last seen at this address, or in this network.' }),
  seen_before: instant().optional().meta({ description: 'Last seen before this time, in milliseconds.' }),
  created_before: instant().optional().meta({ description: 'Begun before this time, in milliseconds.' }),
  refreshed_before: instant().optional().meta({
    description: 'Begun, and last refreshed, before this time: what a restored backup has brought back.',
  }),
  kind: z.enum(['user', 'guest', 'appservice']).optional().meta({ description: 'The kind of account.' }),
} as const;

const exceptions = z
  .array(z.strictObject({ user_id: text(255), device_id: text(255).optional() }))
  .max(1_000)
  .optional()
  .meta({ description: 'But not these: sessions, or with a user alone all of theirs.' });

export const filterSchema = z.strictObject(filterShape);
export const endSchema = z
  .strictObject({
    ...filterShape,
    except: exceptions,
    all: z.literal(true).optional().meta({ description: 'Needed to end sessions without any condition.' }),
    reason: text(1_000).optional().meta({ description: 'Why, for the audit.' }),
    dry_run: z.boolean().optional().meta({ description: 'Only count and show. Default: false.' }),
  })
  .refine(
    (body) =>
      body.all === true ||
      Object.keys(filterShape).some((name) => body[name as keyof typeof filterShape] !== undefined),
    'A condition is needed, or "all": true',
  );

/** The same in our words. */
export interface SessionFilter {
  readonly userId?: string | undefined;
  readonly deviceId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly userAgent?: string | undefined;
  readonly address?: string | undefined;
  readonly seenBefore?: Date | undefined;
  readonly createdBefore?: Date | undefined;
  readonly refreshedBefore?: Date | undefined;
  readonly kind?: string | undefined;
  readonly except?: readonly Exception[] | undefined;
}

/** A session that is not meant, or every session of a user. */
export interface Exception {
  readonly userId: string;
  readonly deviceId: string | null;
}

export function toFilter(
  given: Omit<z.infer<typeof endSchema>, 'all' | 'reason' | 'dry_run'>,
): SessionFilter {
  return {
    userId: given.user_id,
    deviceId: given.device_id,
    clientId: given.client_id,
    userAgent: given.user_agent,
    address: given.address,
    seenBefore: given.seen_before,
    createdBefore: given.created_before,
    refreshedBefore: given.refreshed_before,
    kind: given.kind,
    except: given.except?.map(({ user_id: userId, device_id: deviceId = null }) => ({ userId, deviceId })),
  };
}

/** A filter as it was asked for. */
export function fromFilter(filter: SessionFilter): object {
  return {
    user_id: filter.userId,
    device_id: filter.deviceId,
    client_id: filter.clientId,
    user_agent: filter.userAgent,
    address: filter.address,
    seen_before: filter.seenBefore?.getTime(),
    created_before: filter.createdBefore?.getTime(),
    refreshed_before: filter.refreshedBefore?.getTime(),
    kind: filter.kind,
    except: filter.except?.map(({ userId, deviceId }) => ({
      user_id: userId,
      ...(deviceId === null ? {} : { device_id: deviceId }),
    })),
  };
}

/** A filter as a job keeps it. */
export function toStored({ seenBefore, createdBefore, refreshedBefore, ...rest }: SessionFilter): object {
  return {
    ...rest,
    seenBefore: seenBefore?.getTime(),
    createdBefore: createdBefore?.getTime(),
    refreshedBefore: refreshedBefore?.getTime(),
  };
}

export function fromStored(stored: object): SessionFilter {
  const { seenBefore, createdBefore, refreshedBefore, ...rest } = stored as Record<string, unknown>;
  const date = (value: unknown) => (typeof value === 'number' ? new Date(value) : undefined);
  return {
    ...rest,
    seenBefore: date(seenBefore),
    createdBefore: date(createdBefore),
    refreshedBefore: date(refreshedBefore),
  };
}
