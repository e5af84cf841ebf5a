import { Injectable, type OnModuleInit } from '@nestjs/common';
import { UiaStage } from './uia-stage.port.js';
import { UiaStages } from './uia-stages.js';

/** Asks for nothing and always succeeds ("Dummy Auth"). */
@Injectable()
export class DummyStage extends UiaStage implements OnModuleInit {
  readonly type = 'm.login.dummy';

  constructor(private readonly stages: UiaStages) {
    super();
  }

  onModuleInit(): void {
    this.stages.add(this);
  }

  async attempt(): Promise<null> {
    return null;
  }
}
