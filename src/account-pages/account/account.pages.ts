import { Injectable } from '@nestjs/common';
import type { Parameters } from '../../matrix/form-body.js';
import { PageSender } from '../page-sender.js';
import { PageTemplates } from '../page-templates.js';
import { Proofs } from '../proof.service.js';
import type {
  ChangePasswordView,
  EndView,
  LinkTo,
  ProofView,
  ResetView,
  SessionView,
} from '../templates/views.js';
import type { SignedInVisit } from '../visit.js';
import { AccountViewService } from './account-view.service.js';
import { ResetService } from './reset.service.js';

const NOTICES = ['done', 'renamed', 'endedAll'] as const;

/** The pages of an account. */
@Injectable()
export class AccountPages {
  constructor(
    private readonly views: AccountViewService,
    private readonly resets: ResetService,
    private readonly proofs: Proofs,
    private readonly templates: PageTemplates,
    private readonly sender: PageSender,
  ) {}

  /** @param notice what to say above it; default: what was just done */
  async overview(visit: SignedInVisit, notice = noticeOf(visit)): Promise<void> {
    const { context, texts } = visit;
    const view = {
      ...(await this.views.overview(visit)),
      hasPassword: await this.proofs.hasPassword(visit),
      notice,
    };
    this.sender.show(visit, { title: texts.account.title, content: this.templates.account(view, context) });
  }

  /** The page of one session; the overview for one that the user does not have. */
  async session(visit: SignedInVisit, deviceId: string | null, error: string | null = null): Promise<void> {
    const session = await this.find(visit, deviceId);
    if (session === null) return this.overview(visit);
    const { context, texts } = visit;
    this.sender.show(visit, {
      title: session.name?.trim() || texts.account.unnamed,
      status: error === null ? 200 : 400,
      content: this.templates.session(session, { saved: noticeOf(visit), error }, context),
    });
  }

  /** What would end; the overview if that is nothing. */
  async end(visit: SignedInVisit, asked: Parameters, refused?: ProofView): Promise<void> {
    const mode = modeOf(asked);
    const all = await this.views.list(visit.signedIn.account.userId);
    const wanted = new Set(asked.getAll('device_id'));
    const sessions = mode === 'all' ? all : all.filter(({ deviceId }) => wanted.has(deviceId));
    if (asked.get('mode') === 'selected' && wanted.size === 0)
      return this.overview(visit, visit.texts.account.noneSelected);
    if (sessions.length === 0 || (mode === 'others' && sessions.length > 1)) return this.overview(visit);
    const proof = refused ?? (await this.proofs.viewFor(visit, endUrlOf(mode, sessions)));
    this.sender.show(visit, {
      title: visit.texts.end.title,
      status: refused === undefined ? 200 : 401,
      content: this.templates.end({ mode, sessions, proof }, visit.context),
    });
  }

  async reset(visit: SignedInVisit, refused?: ProofView): Promise<void> {
    const waiting: ResetView['waiting'] = await this.resets.waiting(visit);
    const url = '/account?action=org.matrix.cross_signing_reset';
    const proof = refused ?? (await this.proofs.viewFor(visit, url));
    this.sender.show(visit, {
      title: visit.texts.reset.title,
      status: refused === undefined ? 200 : 401,
      content: this.templates.reset({ waiting, proof }, visit.context),
    });
  }

  async changePassword(visit: SignedInVisit, error: ChangePasswordView['error'] = null): Promise<void> {
    const isElsewhere = await this.proofs.isElsewhere(visit);
    this.sender.show(visit, {
      title: visit.texts.password.title,
      status: error === null ? 200 : error.field === 'old' ? 401 : 400,
      content: this.templates.changePassword(
        { userId: visit.signedIn.account.userId, isElsewhere, error },
        visit.context,
      ),
    });
  }

  async deactivate(
    visit: SignedInVisit,
    { proof: refused, error = null }: { proof?: ProofView; error?: string | null } = {},
  ): Promise<void> {
    const { userId } = visit.signedIn.account;
    const proof =
      refused ?? (await this.proofs.viewFor(visit, '/account?action=org.matrix.account_deactivate'));
    this.sender.show(visit, {
      title: visit.texts.deactivate.title,
      status: error !== null ? 400 : refused === undefined ? 200 : 401,
      content: this.templates.deactivate({ userId, proof, error }, visit.context),
    });
  }

  /** A page that only says that something is done. */
  done(visit: SignedInVisit, title: string, text: string, link: LinkTo | null = null): void {
    this.sender.show(visit, { title, content: this.templates.message(title, text, link) });
  }

  /** Back to the overview, which says what was done. */
  back(visit: SignedInVisit, done: (typeof NOTICES)[number] | number): void {
    this.sender.redirect(visit, `/account?done=${done}`);
  }

  /** Back to a session, which says that it has another name. */
  backToSession(visit: SignedInVisit, deviceId: string): void {
    const id = encodeURIComponent(deviceId);
    this.sender.redirect(visit, `/account?action=org.matrix.device_view&device_id=${id}&done=renamed`);
  }

  private async find({ signedIn }: SignedInVisit, deviceId: string | null): Promise<SessionView | null> {
    const sessions = await this.views.list(signedIn.account.userId);
    return sessions.find((one) => one.deviceId === deviceId) ?? null;
  }
}

/** Which sessions a form or a link means. */
export function modeOf(asked: Parameters): EndView['mode'] {
  const mode = asked.get('mode');
  return mode === 'all' || mode === 'others' ? mode : 'selected';
}

/** The page that asks about ending these sessions. */
export function endUrlOf(mode: EndView['mode'], sessions: readonly { readonly deviceId: string }[]): string {
  const ids =
    mode === 'all' ? [] : sessions.map(({ deviceId }) => `&device_id=${encodeURIComponent(deviceId)}`);
  return `/account?action=org.matrix.device_delete&mode=${mode}${ids.join('')}`;
}

function noticeOf({ query, texts: { account } }: SignedInVisit): string | null {
  const done = query.get('done') ?? '';
  if (/^\d{1,5}$/.test(done)) return account.ended(Number(done));
  const notice = NOTICES.find((one) => one === done);
  return notice === undefined ? null : account[notice];
}
