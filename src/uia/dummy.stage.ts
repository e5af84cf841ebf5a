import { Injectable } from '@nestjs/common';
import { UiaStage } from './uia-stage.port.js';

/** Asks for nothing and always succeeds ("Dummy Auth"). */
@Injectable()
export class DummyStage extends UiaStage {
  readonly type = 'm.login.dummy';

  async attempt(): Promise<void> {}
}
