import { Injectable, Optional } from '@nestjs/common';
import { Parameters } from '../../matrix/form-body.js';
import { titleOf } from '../../oauth/clients/client-metadata.rules.js';
import { ClientsService } from '../../oauth/clients/clients.service.js';
import { PageRegistration } from '../../session/register/page-registration.js';
import type { Page } from '../page.js';
import { PageTemplates } from '../page-templates.js';
import type { Visit } from '../visit.js';
import { SignInService } from './sign-in.service.js';

/** The pages of signing in and out. */
@Injectable()
export class SignInPages {
  constructor(
    private readonly templates: PageTemplates,
    private readonly signIns: SignInService,
    private readonly clients: ClientsService,
    /** Missing where registration is left out of the service. */
    @Optional() private readonly registrations?: PageRegistration,
  ) {}

  /**
   * The sign-in page.
   * @param next where the browser goes on
   * @param refused the form that was refused, and why; without it, the page is shown for the first time
   */
  async signIn(
    visit: Visit,
    next: string,
    refused?: { readonly form: Parameters; readonly words: string },
  ): Promise<Page> {
    const { context, texts } = visit;
    const asked = askedIn(next);
    const { signIn } = texts;
    return {
      title: signIn.title,
      status: refused === undefined ? 200 : 401,
      content: this.templates.signIn(
        {
          action: '/account/login',
          continue: next,
          app: await this.appOf(asked.get('client_id')),
          username: refused?.form.get('username') ?? nameIn(asked.get('login_hint')),
          hasPasswords: this.signIns.hasPasswords,
          others: this.signIns.others,
          elsewhere: this.signIns.elsewhere(visit.stateFor(next), next),
          registerUrl: (await this.mayRegister())
            ? `/account/register?continue=${encodeURIComponent(next)}`
            : null,
          error: refused?.words ?? null,
        },
        context,
      ),
    };
  }

  /** Whether there is a page to register. */
  async mayRegister(): Promise<boolean> {
    return (await this.registrations?.isOpen()) ?? false;
  }

  signedOut({ texts: { signedOut } }: Visit): Page {
    return { title: signedOut.title, content: this.templates.message(signedOut.title, signedOut.text) };
  }

  private async appOf(clientId: string | null): Promise<string | null> {
    const client = clientId === null ? null : await this.clients.find(clientId);
    return client === null ? null : titleOf(client.metadata);
  }
}

/** The parameters of the request that goes on after signing in. */
export function askedIn(next: string): Parameters {
  const at = next.indexOf('?');
  try {
    return Parameters.parse(at === -1 ? '' : next.slice(at + 1));
  } catch {
    return Parameters.parse('');
  }
}

/** The user name in a `login_hint`: a user ID with the prefix `mxid:`, or what the app knows (MSC4198). */
function nameIn(hint: string | null): string {
  return (hint ?? '').replace(/^mxid:/, '').slice(0, 255);
}
