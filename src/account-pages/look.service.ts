import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Environment, EnvironmentError } from '../config/environment.js';
import { OAuthUrls } from '../oauth/oauth-urls.js';
import type { Look } from './templates/views.js';

export const SCRIPT_PATH = '/account/pages.js';
export const LOGO_PATH = '/account/logo';

const TYPES: Readonly<Record<string, string>> = {
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
};

/** How the operator wants the pages to look. */
@Injectable()
export class LookService {
  readonly look: Look;
  /** `null`: none. */
  readonly logo: { readonly type: string; readonly bytes: Buffer } | null;

  /** @throws {EnvironmentError} if the file of the logo cannot be read */
  constructor({ oauth, serverName }: Environment, urls: OAuthUrls) {
    this.logo = oauth.isOn && oauth.logoFile !== null ? read(oauth.logoFile) : null;
    this.look = {
      name: oauth.name,
      serverName,
      logoUrl: this.logo === null ? null : urls.page(LOGO_PATH),
      color: oauth.color,
      scriptUrl: urls.page(SCRIPT_PATH),
    };
  }
}

function read(file: string): { type: string; bytes: Buffer } {
  try {
    return { type: TYPES[extname(file).toLowerCase()]!, bytes: readFileSync(file) };
  } catch (error) {
    throw new EnvironmentError([`PAGES_LOGO must be a file that can be read: ${(error as Error).message}`]);
  }
}
