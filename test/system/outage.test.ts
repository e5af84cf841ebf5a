import { describe, expect, it } from 'vitest';
import { isOutage, Unavailable, unavailableIn } from '../../src/system/outage.js';

const error = (message: string, code?: string) => Object.assign(new Error(message), { code });

describe('An error of the database', () => {
  it.each([
    ['terminating connection', '57P01'],
    ['starting up', '57P03'],
    ['sorry, too many clients already', '53300'],
    ['disk full', '53100'],
    ['cannot execute in a read-only transaction', '25006'],
    ['I/O error', '58030'],
    ['connect ECONNREFUSED', 'ECONNREFUSED'],
    ['Connection terminated unexpectedly', undefined],
    ['Query read timeout', undefined],
    ['timeout expired', undefined],
    ['timeout exceeded when trying to connect', undefined],
  ])('is an outage: %s', (message, code) => {
    expect(isOutage(error(message, code))).toBe(true);
    expect(isOutage(new Error('A listener failed', { cause: error(message, code) }))).toBe(true);
  });

  it.each([
    ['duplicate key', '23505'],
    ['canceling statement due to statement timeout', '57014'],
    ['internal error', 'XX000'],
    ['could not access file', '58P01'],
    ['lock not available', '55P03'],
    ['no', undefined],
  ])('is not an outage: %s', (message, code) => {
    expect(isOutage(error(message, code))).toBe(false);
  });

  it('is found as the cause of another error', () => {
    const cause = new Unavailable('away');
    expect(unavailableIn(new Error('A listener failed', { cause }))).toBe(cause);
    expect(unavailableIn(new Error('A listener failed'))).toBeUndefined();
  });
});
