import { Get, Param, Post, Req, Res } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiParam, ApiQuery } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { CLIENT_R0, CLIENT_V3 } from '../../matrix/client-api.decorators.js';
import type { Parameters } from '../../matrix/form-body.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { Refusals } from '../../matrix/refusals.js';
import { UiaFallback } from '../../uia/uia-fallback.js';
import { ApiPage, FallbackController } from '../page-controller.decorator.js';
import type { StageView } from '../templates/views.js';
import { Visits } from '../visits.service.js';
import { StageFallbackPages } from './stage-fallback.pages.js';

const PATHS = [CLIENT_V3, CLIENT_R0].map((base) => `${base}/auth/:stage/fallback/web`);

/** What a client would send for a stage, made of the fields of the form. */
const AUTHS: Readonly<Record<StageView['stage'], (form: Parameters) => Record<string, unknown>>> = {
  'm.login.password': (form) => ({
    identifier: { type: 'm.id.user', user: form.get('username') ?? '' },
    password: form.get('password') ?? '',
  }),
  'm.login.registration_token': (form) => ({ token: form.get('token') ?? '' }),
  'm.login.dummy': () => ({}),
};

/** Where users complete a stage of interactive authentication that their client cannot show ("Fallback"). */
@FallbackController()
export class StageFallbackController {
  constructor(
    private readonly visits: Visits,
    private readonly uia: UiaFallback,
    private readonly pages: StageFallbackPages,
    private readonly refusals: Refusals,
  ) {}

  @Get(PATHS)
  @ApiPage('stageFallback', 'Where users complete a stage that their client cannot show')
  @ApiParam({ name: 'stage', example: 'm.login.password' })
  @ApiQuery({ name: 'session' })
  async show(
    @Req() request: Request,
    @Res() response: Response,
    @Param('stage') type: string,
  ): Promise<void> {
    const visit = await this.visits.open(request, response);
    // This stage is the account page itself.
    if (type === 'm.oauth' || type === 'org.matrix.cross_signing_reset') return this.pages.goToAccount(visit);
    const waiting = await this.uia.find(visit.query.get('session') ?? '');
    if (!isStage(type) || waiting === null) return this.pages.gone(visit);
    this.pages.ask(visit, type, waiting, null);
  }

  @ApiExcludeEndpoint()
  @Post(PATHS)
  @WithoutBody()
  async attempt(
    @Req() request: Request,
    @Res() response: Response,
    @Param('stage') type: string,
  ): Promise<void> {
    const { visit, form } = await this.visits.post(request, response);
    const waiting = await this.uia.find(form.get('session') ?? '');
    if (!isStage(type) || waiting === null) return this.pages.gone(visit);
    try {
      await this.uia.attempt(waiting.sessionId, type, AUTHS[type](form), visit.origin.address);
    } catch (error) {
      if (!(error instanceof MatrixError) || error.status === 429 || error.status >= 500) throw error;
      this.refusals.refused(request, error);
      const { signIn, register } = visit.texts;
      const text = type === 'm.login.registration_token' ? register.badToken : signIn.failed;
      return this.pages.ask(visit, type, waiting, text);
    }
    this.pages.done(visit);
  }
}

function isStage(type: string): type is StageView['stage'] {
  return Object.hasOwn(AUTHS, type);
}
