import { de } from './de.js';
import { en, type Texts } from './en.js';

/** The languages that the pages speak, the default first. */
export const LANGUAGES: readonly Texts[] = [en, de];

/**
 * The language that fits best.
 * @param uiLocales language tags in the order of preference, as in the parameter `ui_locales` of OpenID Connect
 * @param acceptLanguage the header of the browser
 */
export function textsFor(uiLocales: string | null, acceptLanguage: string | undefined): Texts {
  const wanted = [...(uiLocales ?? '').split(' '), ...preferred(acceptLanguage ?? '')];
  const tags = wanted.map((tag) => tag.toLowerCase().split('-')[0]!);
  const language = tags.find((tag) => LANGUAGES.some((texts) => texts.language === tag));
  return LANGUAGES.find((texts) => texts.language === language) ?? LANGUAGES[0]!;
}

/** The tags of an `Accept-Language` header, the most wanted first. */
function preferred(header: string): string[] {
  return header
    .split(',')
    .map((item) => {
      const [tag = '', ...parameters] = item.split(';').map((part) => part.trim());
      const quality = parameters.find((parameter) => parameter.startsWith('q='));
      return { tag, quality: quality === undefined ? 1 : Number(quality.slice(2)) };
    })
    .filter(({ quality }) => quality > 0)
    .toSorted((one, other) => other.quality - one.quality)
    .map(({ tag }) => tag);
}
