/** The only source of the current time. Tests put a clock of their own in its place: `TestClock` of the testing kit. */
export abstract class Clock {
  abstract now(): Date;
}

export class SystemClock extends Clock {
  now(): Date {
    return new Date();
  }
}
