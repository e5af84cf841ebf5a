import { Injectable } from '@nestjs/common';
import type { UiaStage } from './uia-stage.port.js';

/**
 * The stages there are. Whoever provides one adds it when its module is initialised (`onModuleInit`).
 *
 * @example
 * ```ts
 * onModuleInit() {
 *   this.stages.add(this);
 * }
 * ```
 */
@Injectable()
export class UiaStages {
  private readonly byType = new Map<string, UiaStage>();

  /** A type that is there already is replaced. */
  add(stage: UiaStage): void {
    this.byType.set(stage.type, stage);
  }

  /** The stage of this type; `null` when there is none. */
  find(type: unknown): UiaStage | null {
    return (typeof type === 'string' && this.byType.get(type)) || null;
  }
}
