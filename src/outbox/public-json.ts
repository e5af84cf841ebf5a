import type { EventMessage } from './subscribers.js';

interface PublicEvent {
  readonly type: string;
  readonly timestamp: string;
  readonly data: object;
}

/** An event as other systems get it, by webhook or NATS. Its fields are a public contract (docs/events.md). */
export function toPublicJson({
  event,
  occurredAt,
  userId,
  payload,
}: Pick<EventMessage, 'event' | 'occurredAt' | 'userId' | 'payload'>): PublicEvent {
  return {
    type: event,
    timestamp: occurredAt.toISOString(),
    data: { user_id: userId, ...(toSnakeCase(payload) as object) },
  };
}

/** Field names in Matrix's spelling. */
function toSnakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toSnakeCase);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      toSnakeCase(inner),
    ]),
  );
}
