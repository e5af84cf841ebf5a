import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { Environment } from '../config/environment.js';

/** The addresses of the endpoints, as clients and people see them. */
@Injectable()
export class OAuthUrls implements OnModuleInit {
  private readonly logger = new Logger(OAuthUrls.name);
  private readonly base: string;
  private readonly pages: string;
  private readonly isOn: boolean;

  constructor({ publicBaseUrl, oauth }: Environment) {
    this.base = publicBaseUrl.replace(/\/+$/, '');
    this.pages = oauth.pagesUrl;
    this.isOn = oauth.isOn;
  }

  onModuleInit(): void {
    const open = [this.base, this.pages].find((url) => url.startsWith('http:') && !isLoopback(url));
    if (this.isOn && open !== undefined)
      this.logger.warn(
        `${open} is not https: clients refuse to sign in by OAuth 2.0, and passwords can be read on the way`,
      );
  }

  get issuer(): string {
    return `${this.base}/`;
  }

  /** An endpoint that clients call themselves. */
  endpoint(path: string): string {
    return this.base + path;
  }

  /** A page, for browsers. */
  page(path: string): string {
    return this.pages + path;
  }

  get account(): string {
    return this.page('/account');
  }
}

function isLoopback(url: string): boolean {
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname);
}
