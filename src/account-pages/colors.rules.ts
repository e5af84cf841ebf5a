/** Text must have this contrast to what is behind it (WCAG 2.2, 1.4.3). */
const LEAST_CONTRAST = 4.6;
const STEPS = 20;

/** Red, green and blue, from 0 to 255. */
type Color = readonly [number, number, number];

/** The colour nearest to `color`, towards black or white, that can be read on `background`. */
export function readableOn(background: string, color: string): string {
  const behind = parse(background);
  const towards: Color = luminance(behind) > 0.2 ? [0, 0, 0] : [255, 255, 255];
  const from = parse(color);
  for (let step = 0; step < STEPS; step += 1) {
    const mixed = mix(from, towards, step / STEPS);
    if (contrast(mixed, behind) >= LEAST_CONTRAST) return print(mixed);
  }
  return print(towards);
}

/** Black or white, whichever is easier to read on the colour. */
export function textOn(color: string): string {
  const behind = parse(color);
  return contrast([255, 255, 255], behind) >= contrast([0, 0, 0], behind) ? '#ffffff' : '#000000';
}

function contrast(one: Color, other: Color): number {
  const [lighter, darker] = [luminance(one), luminance(other)].toSorted((a, b) => b - a) as [number, number];
  return (lighter + 0.05) / (darker + 0.05);
}

/** Relative luminance (WCAG 2.2, definitions). */
function luminance(color: Color): number {
  const [red, green, blue] = color.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function mix(from: Color, towards: Color, share: number): Color {
  return from.map((value, at) => Math.round(value + (towards[at]! - value) * share)) as unknown as Color;
}

function parse(hex: string): Color {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Color;
}

function print(color: Color): string {
  return `#${color.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}
