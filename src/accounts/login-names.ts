import { Injectable } from '@nestjs/common';
import { AccountsService } from './accounts.service.js';
import { type Login, toMsisdn } from './login-identifier.rules.js';
import { ThreepidDirectory } from './threepid-directory.port.js';

/** Finds out whom the identifier of a login means. */
@Injectable()
export class LoginNames {
  constructor(
    private readonly accounts: AccountsService,
    private readonly threepids: ThreepidDirectory,
  ) {}

  /** One name for all spellings of an identifier, whether or not anybody has it. */
  nameOf(login: Login): string {
    switch (login.type) {
      case 'm.id.user':
        return this.accounts.canonicalName(login.user);
      case 'm.id.thirdparty':
        return `${login.medium} ${login.address}`;
      case 'm.id.phone':
        return `msisdn ${toMsisdn(login)}`;
    }
  }

  /** The user ID or localpart; `null` if nobody has the third-party identifier. */
  async userOf(login: Login): Promise<string | null> {
    switch (login.type) {
      case 'm.id.user':
        return login.user;
      case 'm.id.thirdparty':
        return this.threepids.find(login.medium, login.address);
      case 'm.id.phone':
        return this.threepids.find('msisdn', toMsisdn(login));
    }
  }
}
