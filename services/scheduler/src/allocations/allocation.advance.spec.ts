import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { AllocationState, isLive, movesForward, Stage, type AttemptExit } from '#libs/contracts';
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
  attempt: 1,
  lastExit: null,
  stopReason: null,
  runningAt: null,
  ...over,
});
const report = (over: Partial<AllocationAdvance> = {}): AllocationAdvance => ({
  id: 'a',
  state: 'accepted',
  stage: null,
  attempt: 1,
  lastExit: null,
  reason: null,
  detail: null,
  exitCode: null,
  ran: false,
  ...over,
});
const states = AllocationState.options;
const anExit: AttemptExit = {
  attempt: 1,
  reason: 'exited',
  detail: null,
  exitCode: 70,
  at: '2026-01-01T00:00:00.000Z',
  nextTryAt: '2026-01-01T00:00:01.000Z',
};

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

  it('begins the stages anew with a later attempt, and hears no more of an earlier one', () => {
    const at = standing({ state: 'running', stage: 'trade-allowed', runningAt: new Date() });
    const [step] = stepsForward(
      [at],
      [
        report({ state: 'running', attempt: 2, stage: null, lastExit: anExit }),
        report({ state: 'running', attempt: 1, stage: 'trade-allowed' }),
        report({ state: 'running', attempt: 2, stage: 'login' }),
      ],
    );
    expect(step).toMatchObject({
      state: 'running',
      moved: false,
      attempt: 2,
      stage: 'login',
      lastExit: anExit,
    });
    const later = standing({ ...at, attempt: 2, stage: 'login', lastExit: anExit });
    expect(stepsForward([later], [report({ state: 'running', stage: 'trade-allowed' })])).toEqual([]);
  });

  it('takes up how the attempt before ended where only that was missing', () => {
    const at = standing({ state: 'running', stage: 'login', attempt: 2, runningAt: new Date() });
    const [step] = stepsForward([at], [report({ state: 'running', attempt: 2, lastExit: anExit })]);
    expect(step).toMatchObject({ stage: 'login', lastExit: anExit });
  });

  it('ends nowhere else for repeated reports, whatever their order among live states', () => {
    const reports = fc.array(
      fc.record({
        state: fc.constantFrom(...states.filter(isLive)),
        stage: fc.option(fc.constantFrom(...Stage.options)),
        attempt: fc.integer({ min: 1, max: 3 }),
        ran: fc.boolean(),
      }),
      { minLength: 1, maxLength: 10 },
    );
    fc.assert(
      fc.property(reports, fc.constantFrom(...states), (some, from) => {
        const all = some.map((one) => report(one));
        const [forward] = stepsForward([standing({ state: from })], all);
        const [shuffled] = stepsForward([standing({ state: from })], [...all, ...[...all].reverse()]);
        expect([shuffled?.state, shuffled?.attempt, shuffled?.stage, shuffled?.ran]).toEqual([
          forward?.state,
          forward?.attempt,
          forward?.stage,
          forward?.ran,
        ]);
      }),
    );
  });
});
