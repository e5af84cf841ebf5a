import { Global, Module } from '@nestjs/common';
import { PageGate } from './page-gate.js';
import { PageRegistration } from './page-registration.js';
import { RegisterController } from './register.controller.js';
import { RegisterService } from './register.service.js';
import { RegistrationGate } from './registration-gate.js';
import { RegistrationNames } from './registration-names.js';
import { RegistrationTokenController } from './registration-token.controller.js';

/** Registration. It is left out if accounts are created elsewhere. */
// Global, because the pages offer registration only where this module is there.
@Global()
@Module({
  controllers: [RegisterController, RegistrationTokenController],
  providers: [RegisterService, RegistrationGate, RegistrationNames, PageGate, PageRegistration],
  exports: [PageRegistration],
})
export class RegisterModule {}
