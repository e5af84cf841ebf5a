import leven from 'leven';

/** Short names are like many others by chance. */
const SHORTEST = 5;
const MOST_LONGER = 4;
/** Names of this form are ours; whatever is like them is meant for this service. */
const OWN_PREFIX =
  /^(?:DATABASE|EVENT|HOMESERVER|LIMIT|NATS|OAUTH|PAGES|PASSWORD|RATE_LIMIT|REFRESH|WEBHOOK)S?_/;

/** A variable that nobody reads, and the one that was probably meant. */
export interface Misspelt {
  readonly name: string;
  readonly meant: string;
}

/** The variables that look like one of `known`, but are none. */
export function misspeltIn(names: readonly string[], known: readonly string[]): Misspelt[] {
  const ours = new Set(known);
  return names.flatMap((name) => {
    if (ours.has(name) || !/^[A-Z][A-Z0-9_]*$/i.test(name) || name.length < SHORTEST) return [];
    const upper = name.toUpperCase();
    // Comparing takes time, and what differs much in length is no misspelling.
    const nearest = known
      .filter((one) => Math.abs(one.length - name.length) <= MOST_LONGER)
      .map((one) => ({ meant: one, distance: leven(upper, one) }))
      .toSorted((one, other) => one.distance - other.distance)[0];
    if (nearest === undefined) return [];
    const most = OWN_PREFIX.test(upper)
      ? Math.ceil(nearest.meant.length / 4)
      : nearest.meant.length < 9
        ? 1
        : 2;
    return nearest.distance <= most ? [{ name, meant: nearest.meant }] : [];
  });
}
