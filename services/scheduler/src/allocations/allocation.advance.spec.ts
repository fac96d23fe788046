import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { AllocationState, isLive, movesForward, Stage } from '#libs/contracts';
import { stepsForward, type AllocationStanding } from './allocation.advance.js';
import type { AllocationAdvance } from './allocation.rows.js';

const standing = (over: Partial<AllocationStanding> = {}): AllocationStanding => ({
  id: 'a',
  tenant: 'acme',
  bot: 'bot',
  account: 'account',
  host: 'host',
  epoch: 1,
  state: 'placed',
  stage: null,
  stopReason: null,
  runningAt: null,
  ...over,
});
const report = (over: Partial<AllocationAdvance> = {}): AllocationAdvance => ({
  id: 'a',
  state: 'accepted',
  stage: null,
  reason: null,
  detail: null,
  exitCode: null,
  ran: false,
  ...over,
});
const states = AllocationState.options;

describe('stepsForward', () => {
  it.each(states.flatMap((from) => states.map((to) => [from, to] as const)))(
    'from %s to %s moves only where that is forward',
    (from, to) => {
      const steps = stepsForward([standing({ state: from })], [report({ state: to })]);
      expect(steps.map((step) => step.state)).toEqual(movesForward(from, to) ? [to] : []);
    },
  );

  it('takes the furthest of several, and remembers that it ran', () => {
    const [step] = stepsForward(
      [standing()],
      [
        report(),
        report({ state: 'running', ran: true }),
        report({ state: 'stopping' }),
        report({ state: 'starting' }),
      ],
    );
    expect(step).toMatchObject({ state: 'stopping', ran: true, moved: true });
  });

  it('keeps the first end with its reason', () => {
    const [step] = stepsForward(
      [standing({ state: 'running', runningAt: new Date() })],
      [
        report({ state: 'failed', reason: 'out-of-memory', detail: 'killed', exitCode: 137 }),
        report({ state: 'stopped', reason: 'asked' }),
      ],
    );
    expect(step).toMatchObject({ state: 'failed', reason: 'out-of-memory', detail: 'killed', exitCode: 137 });
  });

  it('gives an end without a reason the reason it was told to stop for', () => {
    const [step] = stepsForward(
      [standing({ state: 'stopping', stopReason: 'account-locked' })],
      [report({ state: 'stopped' })],
    );
    expect(step?.reason).toBe('account-locked');
  });

  it('advances the stage alone, and never back', () => {
    const at = standing({ state: 'starting', stage: 'login' });
    expect(stepsForward([at], [report({ state: 'starting', stage: 'ipc' })])[0]).toMatchObject({
      stage: 'ipc',
      moved: false,
    });
    expect(stepsForward([at], [report({ state: 'starting', stage: 'terminal' })])).toEqual([]);
  });

  it('ends nowhere else for repeated reports, whatever their order among live states', () => {
    const reports = fc.array(
      fc.record({
        state: fc.constantFrom(...states.filter(isLive)),
        stage: fc.option(fc.constantFrom(...Stage.options)),
        ran: fc.boolean(),
      }),
      { minLength: 1, maxLength: 10 },
    );
    fc.assert(
      fc.property(reports, fc.constantFrom(...states), (some, from) => {
        const all = some.map((one) => report(one));
        const [forward] = stepsForward([standing({ state: from })], all);
        const [shuffled] = stepsForward([standing({ state: from })], [...all, ...[...all].reverse()]);
        expect([shuffled?.state, shuffled?.stage, shuffled?.ran]).toEqual([
          forward?.state,
          forward?.stage,
          forward?.ran,
        ]);
      }),
    );
  });
});
