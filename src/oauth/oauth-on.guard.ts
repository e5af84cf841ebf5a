import { type CanActivate, Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { MatrixError } from '../matrix/matrix-error.js';

/** The routes of OAuth 2.0 do not exist while it is off. The module may be loaded before that is known. */
@Injectable()
export class OAuthOnGuard implements CanActivate {
  constructor(private readonly environment: Environment) {}

  canActivate(): boolean {
    if (!this.environment.oauth.isOn) throw new MatrixError(404, 'M_UNRECOGNIZED', 'Unknown endpoint');
    return true;
  }
}
