import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';

/** The addresses of the endpoints, as clients and people see them. */
@Injectable()
export class OAuthUrls {
  private readonly base: string;
  private readonly pages: string;

  constructor({ publicBaseUrl, oauth }: Environment) {
    this.base = publicBaseUrl.replace(/\/+$/, '');
    this.pages = oauth.pagesUrl;
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
