import { Post, Req, Res } from '@nestjs/common';
import { ApiExcludeEndpoint } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { PageController } from '../page-controller.decorator.js';
import { PageRefusal } from '../page.js';
import { ProofNeeded, Proofs } from '../proof.service.js';
import { Visits } from '../visits.service.js';
import { AccountPages } from './account.pages.js';
import { ResetService } from './reset.service.js';

/** Agrees to other cross-signing keys. */
@PageController('account')
export class ResetController {
  constructor(
    private readonly visits: Visits,
    private readonly pages: AccountPages,
    private readonly resets: ResetService,
    private readonly proofs: Proofs,
  ) {}

  @ApiExcludeEndpoint()
  @Post('reset')
  @WithoutBody()
  async approve(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.postSignedIn(request, response);
    try {
      await this.proofs.require(visit, form, '/account?action=org.matrix.cross_signing_reset');
    } catch (error) {
      if (error instanceof ProofNeeded) return this.pages.reset(visit, error.proof);
      throw error;
    }
    if (!(await this.resets.approve(visit, form.get('session') ?? '')))
      throw new PageRefusal(404, 'notFound');
    const { reset } = visit.texts;
    this.pages.done(visit, reset.done, reset.doneText);
  }
}
