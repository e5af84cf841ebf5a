import { Get, Req, Res } from '@nestjs/common';
import { ApiQuery } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { ApiPage, PageController } from '../page-controller.decorator.js';
import { ACCOUNT_ACTIONS } from '../../oauth/metadata/provider-metadata.service.js';
import { PageSender } from '../page-sender.js';
import { isSignedIn, Visits } from '../visits.service.js';
import { AccountPages } from './account.pages.js';

/** The page of an account: what there is, and what may be done with it ("Account management"). */
@PageController('account')
export class AccountPageController {
  constructor(
    private readonly visits: Visits,
    private readonly pages: AccountPages,
    private readonly sender: PageSender,
  ) {}

  @Get()
  @ApiPage('showAccount', 'The page of an account', 'Shows the overview for an action that is not known.')
  @ApiQuery({ name: 'action', required: false, enum: ACCOUNT_ACTIONS })
  @ApiQuery({ name: 'device_id', required: false })
  async show(@Req() request: Request, @Res() response: Response): Promise<void> {
    const visit = await this.visits.open(request, response);
    if (!isSignedIn(visit))
      return this.sender.redirect(visit, `/account/login?continue=${encodeURIComponent(visit.url)}`);
    const { query } = visit;
    const deviceId = query.get('device_id');
    switch (query.get('action')) {
      case 'org.matrix.device_view':
      case 'org.matrix.session_view':
        return this.pages.session(visit, deviceId);
      case 'org.matrix.device_delete':
      case 'org.matrix.session_end':
        return this.pages.end(visit, query);
      case 'org.matrix.cross_signing_reset':
        return this.pages.reset(visit);
      case 'org.matrix.account_deactivate':
        return this.pages.deactivate(visit);
      case 'password':
        return this.pages.changePassword(visit);
      default:
        return this.pages.overview(visit);
    }
  }
}
