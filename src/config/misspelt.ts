import leven from 'leven';

/** Short names are like many others by chance. */
const SHORTEST = 5;
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
    const isOurs = OWN_PREFIX.test(upper);
    const [nearest] = known
      .map((one) => ({ meant: one, distance: distanceUpTo(mostOf(one, isOurs), upper, one) }))
      .filter(({ meant, distance }) => distance <= mostOf(meant, isOurs))
      .toSorted((one, other) => one.distance - other.distance);
    return nearest === undefined ? [] : [{ name, meant: nearest.meant }];
  });
}

/** How many letters may differ. */
function mostOf(known: string, isOurs: boolean): number {
  if (isOurs) return Math.ceil(known.length / 4);
  return known.length < 9 ? 1 : 2;
}

/** The distance, or more than `most`. Every start compares everything: what is far apart must not be measured. */
function distanceUpTo(most: number, one: string, other: string): number {
  if (Math.abs(one.length - other.length) > most) return Infinity;
  return leven(one, other, { maxDistance: most + 1 });
}
