import { Module } from '@nestjs/common';
import { RegisterController } from './register.controller.js';
import { RegisterService } from './register.service.js';
import { RegistrationGate } from './registration-gate.js';
import { RegistrationNames } from './registration-names.js';
import { RegistrationTokenController } from './registration-token.controller.js';

/** How accounts come into being here; left out where they come from elsewhere. */
@Module({
  controllers: [RegisterController, RegistrationTokenController],
  providers: [RegisterService, RegistrationGate, RegistrationNames],
})
export class RegisterModule {}
