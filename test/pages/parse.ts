import { unescaped } from '../support/visitor.js';

/** A piece of a page: a tag with its attributes, or text. */
export type Token =
  | { readonly kind: 'tag'; readonly name: string; readonly attributes: ReadonlyMap<string, string> }
  | { readonly kind: 'text'; readonly text: string };

const TAG = /<(\/?[a-zA-Z][^\s/>]*)((?:[^>"']|"[^"]*"|'[^']*')*)>/y;
const ATTRIBUTE = /\s+([^\s"'<>/=]+)(?:="([^"]*)")?/y;
const RAW = new Set(['style', 'script']);

/**
 * Reads HTML as a browser does, as far as the pages use it, and throws for what a browser would have to guess: tags
 * that do not end, values without quotes, attributes that stand there twice, and ampersands that begin no reference.
 */
export function parse(html: string): Token[] {
  const tokens: Token[] = [];
  let at = html.startsWith('<!doctype html>') ? '<!doctype html>'.length : 0;
  while (at < html.length) {
    if (html[at] === '<') {
      TAG.lastIndex = at;
      const [tag, name, rest] = TAG.exec(html) ?? fail(html, at);
      tokens.push({ kind: 'tag', name: name!.toLowerCase(), attributes: attributesOf(rest!) });
      at += tag.length;
      if (!RAW.has(name!)) continue;
      const end = html.indexOf(`</${name}`, at);
      if (end === -1) fail(html, at);
      tokens.push({ kind: 'text', text: html.slice(at, end) });
      at = end;
    } else {
      const next = html.indexOf('<', at);
      const end = next === -1 ? html.length : next;
      tokens.push({ kind: 'text', text: plain(html.slice(at, end)) });
      at = end;
    }
  }
  return tokens;
}

/** Tags and names of attributes, without any value: what no visitor may change. */
export function skeletonOf(html: string): string[] {
  return parse(html).flatMap((token) =>
    token.kind === 'text' ? [] : [`${token.name} ${[...token.attributes.keys()].join(' ')}`.trim()],
  );
}

/** All values of an attribute in a page. */
export function valuesOf(html: string, attribute: string): string[] {
  return parse(html).flatMap((token) => {
    const value = token.kind === 'tag' ? token.attributes.get(attribute) : undefined;
    return value === undefined ? [] : [value];
  });
}

function attributesOf(text: string): Map<string, string> {
  const found = new Map<string, string>();
  let at = 0;
  while (/[^\s/]/.test(text.slice(at))) {
    ATTRIBUTE.lastIndex = at;
    const [whole, name, value = ''] = ATTRIBUTE.exec(text) ?? fail(text, at);
    if (found.has(name!)) throw new Error(`The attribute ${name} stands twice in ${text}`);
    found.set(name!, plain(value));
    at += whole.length;
  }
  return found;
}

function plain(text: string): string {
  if (/&(?!(?:amp|lt|gt|quot|#39);)/.test(text)) throw new Error(`A bare ampersand in ${text}`);
  return unescaped(text);
}

function fail(text: string, at: number): never {
  throw new Error(`This is no HTML: ${text.slice(at, at + 200)}`);
}
