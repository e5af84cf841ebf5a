/**
 * Text that is HTML already. Only {@link html} makes it, so that no value reaches a page unescaped.
 *
 * @example
 * ```ts
 * const link: Html = html`<a href="${url}">${title}</a>`;
 * ```
 */
export class Html {
  /** @internal */
  constructor(private readonly text: string) {}

  /**
   * HTML that the service itself has written.
   * @internal
   */
  static trusted(text: string): Html {
    return new Html(text);
  }

  toString(): string {
    return this.text;
  }
}

/** What may stand in a template: text is escaped, lists are joined, and what is missing leaves nothing. */
export type Part = Html | string | number | null | undefined | false | readonly Part[];

/**
 * A template of HTML. Every value is escaped, for text and for quoted attributes, unless it comes from another
 * template.
 *
 * @example
 * ```ts
 * html`<p title="${title}">${name}</p>`
 * ```
 */
export function html(literals: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(
    literals.map((literal, at) => literal + (at < parts.length ? written(parts[at]) : '')).join(''),
  );
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function written(part: Part): string {
  if (part === null || part === undefined || part === false) return '';
  if (part instanceof Html) return part.toString();
  if (typeof part === 'object') return part.map(written).join('');
  return String(part).replaceAll(/[&<>"']/g, (character) => ESCAPES[character]!);
}
