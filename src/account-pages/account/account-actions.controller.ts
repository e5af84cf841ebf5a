import { Post, Req, Res } from '@nestjs/common';
import { ApiExcludeEndpoint } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { isShortName } from '../../device-rows/device.rules.js';
import { DevicesService } from '../../devices/devices.service.js';
import type { Parameters } from '../../matrix/form-body.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { PageController } from '../page-controller.decorator.js';
import { PageRefusal } from '../page.js';
import { NO_PROOF, ProofNeeded, Proofs } from '../proof.service.js';
import type { SignedInVisit } from '../visit.js';
import { Visits } from '../visits.service.js';
import { AccountActions, type Ending } from './account-actions.service.js';
import { AccountPages, endUrlOf, modeOf } from './account.pages.js';

/** Ends sessions, and names devices. */
@PageController('account')
export class SessionActionsController {
  constructor(
    private readonly visits: Visits,
    private readonly pages: AccountPages,
    private readonly actions: AccountActions,
    private readonly proofs: Proofs,
    private readonly devices: DevicesService,
  ) {}

  @ApiExcludeEndpoint()
  @Post('rename')
  @WithoutBody()
  async rename(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.postSignedIn(request, response);
    const [deviceId, name] = [form.get('device_id'), form.get('name')?.trim() ?? ''];
    if (deviceId === null) throw new PageRefusal(400, 'badRequest');
    if (!isShortName(name)) return this.pages.session(visit, deviceId, visit.texts.account.badName);
    await this.devices.renameFor({ userId: visit.signedIn.account.userId, deviceId }, name, visit.origin);
    this.pages.backToSession(visit, deviceId);
  }

  @ApiExcludeEndpoint()
  @Post('end')
  @WithoutBody()
  async end(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.postSignedIn(request, response);
    const ending = endingOf(form);
    try {
      const ids = form.getAll('device_id').map((deviceId) => ({ deviceId }));
      await this.proofs.require(visit, form, endUrlOf(ending.mode, ids));
    } catch (error) {
      if (error instanceof ProofNeeded) return this.pages.end(visit, form, error.proof);
      throw error;
    }
    this.pages.back(
      visit,
      (await this.actions.end(visit, ending)) ?? (ending.mode === 'all' ? 'endedAll' : 'done'),
    );
  }

  @ApiExcludeEndpoint()
  @Post('browser')
  @WithoutBody()
  async endBrowser(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.postSignedIn(request, response);
    await this.actions.endBrowser(visit, Buffer.from(form.get('browser') ?? '', 'base64url'));
    this.pages.back(visit, 'done');
  }
}

/** Changes the account itself. */
@PageController('account')
export class AccountActionsController {
  constructor(
    private readonly visits: Visits,
    private readonly pages: AccountPages,
    private readonly actions: AccountActions,
    private readonly proofs: Proofs,
  ) {}

  @ApiExcludeEndpoint()
  @Post('password')
  @WithoutBody()
  async changePassword(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.postSignedIn(request, response);
    const { texts } = visit;
    if (await this.proofs.isElsewhere(visit)) return this.pages.changePassword(visit);
    const proven = await this.proofs.verify(visit, form.get('password') ?? '');
    if (proven === null) return this.pages.changePassword(visit, { field: 'old', text: texts.prove.wrong });
    const logoutDevices = form.get('logout_devices') !== null;
    try {
      const password = form.get('new_password') ?? '';
      await this.actions.changePassword(visit, proven, { password, logoutDevices });
    } catch (error) {
      if (!(error instanceof MatrixError) || error.errcode !== 'M_WEAK_PASSWORD') throw error;
      return this.pages.changePassword(visit, { field: 'next', text: error.message });
    }
    const back = { url: '/account', text: texts.account.back };
    const done = logoutDevices ? texts.password.doneAll : texts.password.doneBrowsers;
    this.pages.done(visit, texts.password.done, done, back);
  }

  @ApiExcludeEndpoint()
  @Post('deactivate')
  @WithoutBody()
  async deactivate(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { visit, form } = await this.visits.postSignedIn(request, response);
    const { deactivate } = visit.texts;
    try {
      const proven = await this.proofs.require(visit, form, '/account?action=org.matrix.account_deactivate');
      if (!isNameOf(visit, form))
        return await this.pages.deactivate(visit, { proof: NO_PROOF, error: deactivate.wrong });
      await this.actions.deactivate(visit, proven, form.get('erase') !== null);
    } catch (error) {
      if (error instanceof ProofNeeded) return this.pages.deactivate(visit, { proof: error.proof });
      throw error;
    }
    this.visits.signOut(response);
    this.pages.done(visit, deactivate.done, deactivate.doneText);
  }
}

function isNameOf({ signedIn }: SignedInVisit, form: Parameters): boolean {
  return form.get('confirm')?.trim() === signedIn.account.userId;
}

function endingOf(form: Parameters): Ending {
  const mode = modeOf(form);
  const deviceIds = form.getAll('device_id');
  if (mode === 'all') return { mode };
  const [first, ...more] = deviceIds;
  if (first === undefined || (mode === 'others' && more.length > 0)) throw new PageRefusal(400, 'badRequest');
  return mode === 'others' ? { mode, keptDeviceId: first } : { mode, deviceIds };
}
