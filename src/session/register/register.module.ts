import { Module } from '@nestjs/common';
import { RegisterController } from './register.controller.js';
import { RegisterService } from './register.service.js';
import { RegistrationGate } from './registration-gate.js';
import { RegistrationNames } from './registration-names.js';
import { RegistrationTokenController } from './registration-token.controller.js';

/** Registration. It is left out if accounts are created elsewhere. */
@Module({
  controllers: [RegisterController, RegistrationTokenController],
  providers: [RegisterService, RegistrationGate, RegistrationNames],
})
export class RegisterModule {}
