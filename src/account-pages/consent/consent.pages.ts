import { Injectable } from '@nestjs/common';
import { DevicesService } from '../../devices/devices.service.js';
import type { AuthorizationRequest } from '../../oauth/authorization/authorization.rules.js';
import { formActionOf, targetOf } from '../../oauth/authorization/callback.rules.js';
import { hostOf, titleOf } from '../../oauth/clients/client-metadata.rules.js';
import type { Client } from '../../oauth/clients/clients.store.js';
import { PageSender } from '../page-sender.js';
import { PageTemplates } from '../page-templates.js';
import { SignInPages } from '../sign-in/sign-in.pages.js';
import type { AppView } from '../templates/views.js';
import type { SignedInVisit, Visit } from '../visit.js';

/** The pages of an app that asks for access. */
@Injectable()
export class ConsentPages {
  constructor(
    private readonly sender: PageSender,
    private readonly templates: PageTemplates,
    private readonly signIns: SignInPages,
    private readonly devices: DevicesService,
  ) {}

  /** Asks whether the app may use the account. */
  async ask(visit: SignedInVisit, { client, scope, target }: AuthorizationRequest): Promise<void> {
    const { context, texts, url, signedIn } = visit;
    const { userId } = signedIn.account;
    const { deviceId } = scope;
    const { redirectUri } = target;
    const app = appViewOf(client, redirectUri.startsWith('https:'));
    this.sender.show(visit, {
      title: texts.consent.title(app.title),
      formAction: formActionOf(redirectUri),
      content: this.templates.consent(
        {
          app,
          userId,
          deviceId,
          isDeviceKnown: await this.devices.exists({ userId, deviceId }),
          target: targetOf(redirectUri),
          request: url.slice(url.indexOf('?') + 1),
          url,
        },
        context,
      ),
    });
  }

  /** Lets the user sign in or register, and then come back. */
  async signInFirst(visit: Visit, wantsAccount: boolean): Promise<void> {
    const page = wantsAccount && (await this.signIns.mayRegister()) ? 'register' : 'login';
    this.sender.redirect(visit, `/account/${page}?continue=${encodeURIComponent(visit.url)}`);
  }

  /** Sends the browser back to the app. */
  goOn(visit: Visit, url: string): void {
    this.sender.redirect(visit, url);
  }
}

/**
 * An app, as it describes itself.
 * @param isHostProven whether the answer goes to its host; anybody may register any host
 */
export function appViewOf({ metadata }: Client, isHostProven: boolean): AppView {
  const { tos_uri: termsUrl = null, policy_uri: policyUrl = null } = metadata;
  return { title: titleOf(metadata), host: hostOf(metadata), isHostProven, termsUrl, policyUrl };
}
