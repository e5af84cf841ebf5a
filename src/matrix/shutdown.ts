import { Injectable } from '@nestjs/common';

/** Whether this node is about to stop: it still serves requests, and wants no new ones. */
@Injectable()
export class Shutdown {
  private isBegun = false;

  begin(): void {
    this.isBegun = true;
  }

  get hasBegun(): boolean {
    return this.isBegun;
  }
}
