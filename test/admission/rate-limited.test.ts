import { describe, expect, it } from 'vitest';
import { RateLimited } from '../../src/admission/rate-limited.decorator.js';

describe('@RateLimited', () => {
  it('is on a handler once: a second one would replace the limits of the first', () => {
    const declare = () => {
      class Reports {
        @RateLimited('refresh')
        @RateLimited('available')
        report(): void {}
      }
      return Reports;
    };
    expect(declare).toThrow('report is rate-limited twice: name all limits in one decorator');
  });
});
