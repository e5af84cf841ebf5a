import { Get, Post, Req, Res } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiQuery } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { DevicesService } from '../../devices/devices.service.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { readUserCode, shownUserCode } from '../../oauth/device-grant/user-code.rules.js';
import { ApiPage, PageController } from '../page-controller.decorator.js';
import { PageRefusal } from '../page.js';
import { PageSender } from '../page-sender.js';
import { PageTemplates } from '../page-templates.js';
import type { LinkView } from '../templates/views.js';
import type { SignedInVisit } from '../visit.js';
import { isSignedIn, Visits } from '../visits.service.js';
import { LinkService } from './link.service.js';

/** Where people type the code that another device shows (RFC 8628, section 3.3). */
@PageController('account')
export class LinkController {
  constructor(
    private readonly visits: Visits,
    private readonly links: LinkService,
    private readonly sender: PageSender,
    private readonly templates: PageTemplates,
    private readonly devices: DevicesService,
  ) {}

  @Get('link')
  @ApiPage('showLink', 'Where people type the code of another device (RFC 8628, section 3.3)')
  @ApiQuery({ name: 'user_code', required: false, example: 'WDJB-MJHT' })
  async show(@Req() request: Request, @Res() response: Response): Promise<void> {
    const visit = await this.visits.open(request, response);
    if (!isSignedIn(visit))
      return this.sender.redirect(visit, `/account/login?continue=${encodeURIComponent(visit.url)}`);
    const typed = visit.query.get('user_code');
    if (typed === null) return this.send(visit, 200, { device: null, userCode: '', error: null });
    // The code in a link only fills the question in: whoever has made the link must not answer it.
    const code = readUserCode(typed);
    const device = await this.links.find(visit, code);
    if (device === null) return this.wrong(visit, typed);
    const { userId } = visit.signedIn.account;
    const view = {
      ...device,
      userCode: shownUserCode(device.userCode),
      isDeviceKnown: await this.devices.exists({ userId, deviceId: device.deviceId }),
    };
    this.send(visit, 200, { device: view, userCode: view.userCode, error: null });
  }

  @ApiExcludeEndpoint()
  @Post('link')
  @WithoutBody()
  async decide(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.postSignedIn(request, response);
    const decision = form.get('decision');
    if (decision !== 'allow' && decision !== 'refuse') throw new PageRefusal(400, 'badRequest');
    const typed = form.get('user_code') ?? '';
    const isDone = await this.links.decide(visit, readUserCode(typed), decision === 'allow');
    if (!isDone) return this.wrong(visit, typed);
    const { link } = visit.texts;
    const [title, text] =
      decision === 'allow' ? [link.approved, link.approvedText] : [link.refused, link.refusedText];
    this.sender.show(visit, { title, content: this.templates.message(title, text) });
  }

  /** One page for codes that are unknown, expired or decided. */
  private wrong(visit: SignedInVisit, typed: string): void {
    this.send(visit, 404, { device: null, userCode: typed.slice(0, 20), error: visit.texts.link.wrong });
  }

  private send(visit: SignedInVisit, status: number, view: Omit<LinkView, 'userId'>): void {
    const { context, texts, signedIn } = visit;
    const content = this.templates.link({ ...view, userId: signedIn.account.userId }, context);
    this.sender.show(visit, { title: texts.link.title, status, content });
  }
}
