import { Get, Post, Req, Res } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiQuery } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { Environment } from '../../config/environment.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { LoginService } from '../../session/login/login.service.js';
import { toSession } from '../../session/session.dto.js';
import { ApiPage, FallbackController } from '../page-controller.decorator.js';
import { SignInService } from '../sign-in/sign-in.service.js';
import { Visits } from '../visits.service.js';
import { LoginFallbackPages } from './login-fallback.pages.js';

const PATH = '_matrix/static/client/login{/}';

/**
 * Where clients log in that know none of the login types ("Login Fallback"). The page does what `POST /login` does, and
 * hands the answer to the app around it.
 */
@FallbackController()
export class LoginFallbackController {
  constructor(
    private readonly visits: Visits,
    private readonly logins: LoginService,
    private readonly pages: LoginFallbackPages,
    private readonly environment: Environment,
    private readonly signIns: SignInService,
  ) {}

  @Get(PATH)
  @ApiPage('loginFallback', 'Where clients log in that know none of the login types')
  @ApiQuery({ name: 'device_id', required: false })
  @ApiQuery({ name: 'initial_device_display_name', required: false })
  async show(@Req() request: Request, @Res() response: Response): Promise<void> {
    const visit = await this.visits.open(request, response);
    this.pages.ask(visit, null);
  }

  @ApiExcludeEndpoint()
  @Post(PATH)
  @WithoutBody()
  async logIn(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.post(request, response);
    const { query, origin } = visit;
    try {
      const session = await this.logins.login(
        {
          ...this.signIns.requestOf(form),
          // What is no credential may stand in the URL.
          device_id: query.get('device_id') ?? undefined,
          initial_device_display_name: query.get('initial_device_display_name') ?? undefined,
          refresh_token: query.get('refresh_token') === 'true',
        },
        { ...origin, token: null },
      );
      this.pages.done(visit, toSession(session, this.environment.serverName));
    } catch (error) {
      if (!(error instanceof MatrixError) || (error.status !== 401 && error.status !== 403)) throw error;
      this.pages.refuse(visit, form, error);
    }
  }
}
