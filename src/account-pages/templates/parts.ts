import { html, type Html, type Part } from '../html.js';
import type { LinkTo, PageContext } from './views.js';

/** A field with its label. */
export interface Field {
  readonly name: string;
  readonly label: string;
  readonly type?: 'text' | 'password';
  readonly value?: string;
  readonly autocomplete?: string;
  readonly hint?: string | null;
  readonly error?: string | null;
  /** Names the advice that the script shows below the field. */
  readonly advice?: string;
  readonly isOptional?: boolean;
  /** The most characters. */
  readonly most?: number;
  /** Tells fields of the same name apart, where a page has several forms. */
  readonly of?: string;
}

/** An input with its label, a hint and an error, tied together for screen readers. */
export function field({ name, label, hint, error, of = 'field', ...input }: Field): Html {
  const id = `${of}-${name}`;
  const describedBy = [
    ...(hint ? [`${id}-hint`] : []),
    ...(error ? [`${id}-error`] : []),
    ...(input.advice ? [`${id}-advice`] : []),
  ].join(' ');
  return html`<div class="field">
    <label for="${id}">${label}</label>
    <input
      id="${id}"
      name="${name}"
      type="${input.type ?? 'text'}"
      value="${input.value ?? ''}"
      autocomplete="${input.autocomplete ?? 'off'}"
      autocapitalize="none"
      spellcheck="false"
      ${input.isOptional ? null : html`required`}
      ${input.most !== undefined && html`maxlength="${input.most}"`}
      ${input.advice && html`data-advice="${input.advice}"`}
      ${describedBy && html`aria-describedby="${describedBy}"`}
      ${error && html`aria-invalid="true"`}
    />
    ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
    ${error && html`<p class="error" id="${id}-error" role="alert">${error}</p>`}
    ${input.advice && html`<p class="hint" id="${id}-advice" aria-live="polite"></p>`}
  </div>`;
}

/** A form that posts, with the token against forgery. */
export function form({ csrf }: PageContext, action: string, ...content: readonly Part[]): Html {
  return html`<form method="post" action="${action}">${hidden('csrf', csrf)}${content}</form>`;
}

export function hidden(name: string, value: string): Html {
  return html`<input type="hidden" name="${name}" value="${value}" />`;
}

/** A button that sends its form. */
export function button(
  text: string,
  kind: 'main' | 'plain' | 'danger' | 'quiet' = 'main',
  more: Part = null,
): Html {
  return html`<button type="submit" class="${kind}" ${more}>${text}</button>`;
}

export function alert(text: string | null): Html | null {
  return text === null ? null : html`<p class="error box" role="alert">${text}</p>`;
}

export function notice(text: string | null): Html | null {
  return text === null ? null : html`<p class="notice box" role="status">${text}</p>`;
}

/** Terms and what they are; rows without a value are left out. */
export function facts(rows: readonly (readonly [term: string, value: Part])[]): Html {
  return html`<dl>
    ${rows
      .filter(([, value]) => value !== null && value !== '')
      .map(
        ([term, value]) =>
          html`<div>
            <dt>${term}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
  </dl>`;
}

/** A time, in the words of the page's language; UTC, because the server does not know where its reader is. */
export function time(at: Date, { texts }: PageContext): Html {
  const shown = at.toLocaleString(texts.language, {
    dateStyle: 'medium',
    timeStyle: 'short',
    timeZone: 'UTC',
  });
  return html`<time datetime="${at.toISOString()}">${shown} UTC</time>`;
}

/** A page that only says something. */
export function message(title: string, text: Part, link: LinkTo | null): Html {
  return html`<h1>${title}</h1>
    <p>${text}</p>
    ${link !== null && html`<p><a href="${link.url}">${link.text}</a></p>`}`;
}
