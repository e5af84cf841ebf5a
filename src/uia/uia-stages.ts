import { Injectable } from '@nestjs/common';
import type { UiaStage } from './uia-stage.port.js';

/**
 * All stages. A module adds its stages when it is initialised (`onModuleInit`).
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

  /** Adds a stage. It replaces an earlier one of the same type. */
  add(stage: UiaStage): void {
    this.byType.set(stage.type, stage);
  }

  /** The stage of this type; `null` if there is none. */
  find(type: unknown): UiaStage | null {
    return (typeof type === 'string' && this.byType.get(type)) || null;
  }
}
