import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { useApp } from '../support/test-app.js';
import * as steps from './session-model.js';

const app = useApp();

// Most steps concern one user and two devices, because otherwise nothing would happen to the same key twice.
const user = fc.constantFrom('alice', 'alice', 'alice', 'bob');
const device = fc.constantFrom('A', 'A', 'A', 'B', 'B', 'C');

/** A step that fast-check can run and print. */
class Command implements fc.AsyncCommand<steps.Model, steps.Real> {
  constructor(
    private readonly name: keyof typeof STEPS,
    private readonly args: readonly unknown[],
  ) {}

  check(): boolean {
    return true;
  }

  async run(model: steps.Model, real: steps.Real): Promise<void> {
    const step = STEPS[this.name].step as (...args: readonly unknown[]) => steps.Step;
    await step(...this.args)(model, real);
    await steps.requireInvariants(model, real);
  }

  toString(): string {
    return `${this.name}(${this.args.map((argument) => JSON.stringify(argument)).join(', ')})`;
  }
}

/** The arguments of each step, and its frequency. */
const STEPS = {
  register: { step: steps.register, weight: 1, args: [user, device] },
  login: { step: steps.login, weight: 2, args: [user, device] },
  refresh: { step: steps.refresh, weight: 2, args: [user, device] },
  upload: {
    step: steps.upload,
    weight: 5,
    args: [user, device, fc.uniqueArray(fc.nat(5), { minLength: 1, maxLength: 4 })],
  },
  claim: { step: steps.claim, weight: 6, args: [user, device] },
  rename: { step: steps.rename, weight: 1, args: [user, device, fc.constantFrom('One', 'Two', '')] },
  deleteDevices: { step: steps.deleteDevices, weight: 1, args: [user, fc.array(device, { maxLength: 3 })] },
  logout: { step: steps.logout, weight: 1, args: [user, device] },
  logoutAll: { step: steps.logoutAll, weight: 1, args: [user, device] },
} as const;

const commands = Object.entries(STEPS).flatMap(([name, { weight, args }]) => {
  const command = fc
    .tuple(...(args as readonly fc.Arbitrary<unknown>[]))
    .map((values) => new Command(name as keyof typeof STEPS, values));
  return Array.from({ length: weight }, () => command);
});

describe('Any sequence of user actions', () => {
  it(
    'leaves the service in the state of the model: no token or key without a device, no one-time key twice',
    { timeout: 120_000 },
    async () => {
      const models: steps.Model[] = [];
      const setup = async () => {
        const model = new steps.Model();
        const real = { app: app(), run: String(models.push(model)) };
        await steps.register('alice', 'A')(model, real);
        return { model, real };
      };
      const sequences = fc.commands(commands, { maxCommands: 40, size: 'max' });
      await fc.assert(
        fc.asyncProperty(sequences, (sequence) => fc.asyncModelRun(setup, sequence)),
        { numRuns: 30 },
      );
      // The sequences were long enough to prove something.
      const total = (count: (model: steps.Model) => number) =>
        models.reduce((sum, model) => sum + count(model), 0);
      expect(total(({ claims }) => claims)).toBeGreaterThan(0);
      expect(total(({ ended }) => ended.length)).toBeGreaterThan(0);
    },
  );
});
