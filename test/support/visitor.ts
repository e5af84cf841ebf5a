import type request from 'supertest';
import type { TestApp } from './test-app.js';

type Response = request.Response;

/** A browser without scripts: it keeps cookies, follows no redirects by itself, and sends the forms of pages. */
export class Visitor {
  private readonly cookies = new Map<string, string>();

  constructor(
    private readonly app: Pick<TestApp, 'http'>,
    private readonly headers: Record<string, string> = {},
  ) {}

  async get(path: string): Promise<Response> {
    return this.keep(await this.app.http.get(path).set(this.sent()).redirects(0));
  }

  /** Sends a form as it stands, without the hidden fields of a page. */
  async post(path: string, fields: Fields, headers: Record<string, string> = {}): Promise<Response> {
    const answer = await this.app.http
      .post(path)
      .set({ ...this.sent(), ...headers })
      .type('form')
      .send(encoded(fields))
      .redirects(0);
    return this.keep(answer);
  }

  /** Fills in a form of the page, with its hidden fields, and sends it. */
  async submit(
    page: Response,
    fields: Fields = {},
    { nth = 0, action, headers = {} }: Which = {},
  ): Promise<Response> {
    const forms = formsOf(page.text);
    const form = action === undefined ? forms[nth] : forms.find((one) => one.action.startsWith(action));
    if (form === undefined) throw new Error(`There is no such form in: ${page.text.slice(0, 2_000)}`);
    const all = { ...form.hidden, ...fields };
    if (form.method === 'post') return this.post(form.action, all, headers);
    return this.get(`${form.action}?${encoded(all)}`);
  }

  /** Follows redirects within the service. */
  async follow(answer: Response): Promise<Response> {
    let at = answer;
    while (at.status === 303 && at.headers['location']!.startsWith('/'))
      at = await this.get(at.headers['location']!);
    return at;
  }

  /** Signs in, and returns the page that comes after that. */
  async signIn(username: string, password: string, next = '/account'): Promise<Response> {
    const page = await this.get(`/account/login?continue=${encodeURIComponent(next)}`);
    return this.follow(await this.submit(page, { username, password }));
  }

  cookie(name: string): string | undefined {
    return this.cookies.get(name);
  }

  setCookie(name: string, value: string): void {
    this.cookies.set(name, value);
  }

  private sent(): Record<string, string> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    return { ...this.headers, ...(cookie === '' ? {} : { Cookie: cookie }) };
  }

  private keep(answer: Response): Response {
    for (const line of (answer.headers['set-cookie'] as unknown as string[] | undefined) ?? []) {
      const [pair = ''] = line.split(';');
      const at = pair.indexOf('=');
      const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
      if (/Max-Age=0/.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return answer;
  }
}

/** A field may be sent several times. */
export type Fields = Record<string, string | readonly string[]>;

interface Which {
  /** Which form of the page; default: the first. */
  readonly nth?: number;
  /** The one whose action begins like this. */
  readonly action?: string;
  /** Sent with it, if it posts. */
  readonly headers?: Record<string, string>;
}

export interface Form {
  readonly method: string;
  readonly action: string;
  readonly hidden: Record<string, string | string[]>;
}

/** The forms of a page, with their hidden fields. */
export function formsOf(page: string): Form[] {
  return [...page.matchAll(/<form([^>]*)>([\s\S]*?)<\/form>/g)].map(([, attributes = '', content = '']) => {
    const hidden: Record<string, string | string[]> = {};
    for (const [input] of content.matchAll(/<input[^>]*type="hidden"[^>]*>/g)) {
      const [name, value] = [attributeOf(input, 'name')!, attributeOf(input, 'value') ?? ''];
      const before = hidden[name];
      hidden[name] = before === undefined ? value : [before, value].flat();
    }
    return {
      method: attributeOf(attributes, 'method') ?? 'get',
      action: attributeOf(attributes, 'action') ?? '',
      hidden,
    };
  });
}

function attributeOf(tag: string, name: string): string | null {
  const [, value = null] = new RegExp(`\\s${name}="([^"]*)"`).exec(tag) ?? [];
  return value === null ? null : unescaped(value);
}

/** What people see of a page. */
export function textOf(page: { readonly text: string }): string {
  const shown = page.text
    .replaceAll(/<(title|style|script)\b[^>]*>[\s\S]*?<\/\1>/g, '')
    .replaceAll(/<[^>]*>/g, ' ');
  return unescaped(shown).replaceAll(/\s+/g, ' ').trim();
}

/** The value of a field of a page that people fill in; `null` if there is no such field. */
export function valueOf(page: { readonly text: string }, name: string): string | null {
  const inputs = [...page.text.matchAll(/<input[^>]*>/g)].map(([input]) => input);
  const input = inputs.find((one) => attributeOf(one, 'name') === name);
  return input === undefined ? null : attributeOf(input, 'value');
}

/** The text of HTML. */
export function unescaped(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');
}

function encoded(fields: Fields): string {
  const pairs = Object.entries(fields).flatMap(([name, value]) =>
    [value].flat().map((one): [string, string] => [name, one]),
  );
  return new URLSearchParams(pairs).toString();
}
