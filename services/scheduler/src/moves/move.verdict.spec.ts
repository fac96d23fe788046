import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { AllocationState, DesiredState, HostState } from '#libs/contracts';
import type { MoveStanding } from './move.rows.js';
import { askAgainMsOf, switching_ms_max, verdictOf, type MoveCircumstances } from './move.verdict.js';

const now = new Date('2026-01-01T12:00:00Z');
const later = (ms: number): Date => new Date(now.getTime() + ms);
const aMove = (over: Partial<MoveStanding> = {}): MoveStanding => ({
  id: 'move',
  bot: 'bot',
  tenant: 'tenant',
  account: 'account',
  allocation: 'old',
  from: 'host-a',
  to: 'host-b',
  reason: 'drain',
  operation: null,
  by: 'user:ops',
  prepared: false,
  detail: null,
  state: 'planned',
  prepare: true,
  prepareBy: null,
  updatedAt: now,
  createdAt: now,
  switchedAt: null,
  desired: 'running',
  locked: false,
  oldState: 'running',
  oldTold: false,
  oldEndedAt: null,
  targetState: 'ready',
  draining: true,
  deadlineAt: null,
  onDeadline: 'keep',
  newHost: null,
  newRunningAt: null,
  ...over,
});
const fine: MoveCircumstances = {
  now,
  targetHeard: true,
  targetFits: true,
  targetBusy: false,
  askAgainMs: 10_000,
};
const next = (move: Partial<MoveStanding>, over: Partial<MoveCircumstances> = {}) =>
  verdictOf(aMove(move), { ...fine, ...over }).next;

describe('a move', () => {
  it('has its target prepare, waits for it, then switches', () => {
    expect(next({ state: 'planned' })).toBe('prepare');
    expect(next({ state: 'planned' }, { targetBusy: true })).toBe('wait');
    expect(next({ state: 'preparing', prepareBy: later(1) })).toBe('wait');
    expect(next({ state: 'preparing', prepareBy: now })).toBe('failed');
    expect(next({ state: 'prepared' })).toBe('switch');
  });

  it('has a target asked again that says nothing, a few times in all', () => {
    const asked = { state: 'preparing' as const, prepareBy: later(120_000) };
    expect(next({ ...asked, updatedAt: later(-9_999) })).toBe('wait');
    expect(next({ ...asked, updatedAt: later(-10_000) })).toBe('ask-again');
    expect(next({ ...asked, updatedAt: later(-10_000) }, { targetHeard: false })).toBe('failed');
    expect(next({ ...asked, updatedAt: later(-10_000), prepareBy: now })).toBe('failed');
    expect(next({ state: 'prepared', updatedAt: later(-10_000) })).toBe('switch');
    expect(askAgainMsOf(1000)).toBe(10_000);
    expect(askAgainMsOf(120_000)).toBe(10_000);
    expect(3_600_000 / askAgainMsOf(3_600_000)).toBe(12);
  });

  it('that needs no preparation switches at once', () => {
    expect(next({ prepare: false })).toBe('switch');
  });

  it('of a drain whose time is up switches unprepared, if that is what was asked for', () => {
    const due = { deadlineAt: now, onDeadline: 'stop' as const };
    expect(next({ state: 'preparing', prepareBy: later(1000), ...due })).toBe('switch');
    expect(next({ state: 'preparing', prepareBy: later(1000), ...due, onDeadline: 'keep' })).toBe('wait');
    expect(next({ state: 'preparing', prepareBy: later(1000), ...due, deadlineAt: later(1) })).toBe('wait');
    expect(next({ state: 'preparing', prepareBy: later(1000), ...due, reason: 'rebalance' })).toBe('wait');
  });

  it('of a rebalance does not care whether its host is drained', () => {
    expect(next({ draining: false })).toBe('cancelled');
    expect(next({ draining: false, reason: 'rebalance' })).toBe('prepare');
  });

  it('is done when the bot runs again, with the gap in between, wherever that is', () => {
    const ran = { state: 'switching', oldEndedAt: now, newRunningAt: later(850), newHost: 'host-c' } as const;
    expect(verdictOf(aMove(ran), fine)).toEqual({ next: 'done', to: 'host-c', gapMs: 850 });
    // Also when it is not wanted any more by now: it has moved.
    expect(next({ ...ran, desired: 'stopped' })).toBe('done');
    expect(next({ state: 'switching', switchedAt: now })).toBe('wait');
    expect(next({ state: 'switching', switchedAt: later(-switching_ms_max) })).toBe('failed');
  });

  it('stops a bot only while it is wanted, its target can take it and has had its time', () => {
    const date = fc.option(fc.integer({ min: -5000, max: 5000 }).map(later), { nil: null });
    fc.assert(
      fc.property(
        fc.record({
          state: fc.constantFrom(
            'planned' as const,
            'preparing' as const,
            'prepared' as const,
            'switching' as const,
          ),
          reason: fc.constantFrom('drain' as const, 'rebalance' as const),
          prepare: fc.boolean(),
          prepareBy: date,
          desired: fc.option(fc.constantFrom(...DesiredState.options), { nil: null }),
          locked: fc.boolean(),
          oldState: fc.constantFrom(...AllocationState.options),
          oldTold: fc.boolean(),
          oldEndedAt: date,
          targetState: fc.option(fc.constantFrom(...HostState.options), { nil: null }),
          draining: fc.boolean(),
          deadlineAt: date,
          onDeadline: fc.constantFrom('keep' as const, 'stop' as const),
          switchedAt: date,
          newRunningAt: date,
        }),
        fc.record({ targetHeard: fc.boolean(), targetFits: fc.boolean(), targetBusy: fc.boolean() }),
        (fields, circumstances) => {
          const move = aMove({ ...fields, newHost: fields.newRunningAt === null ? null : 'host-b' });
          const verdict = verdictOf(move, { now, askAgainMs: 10_000, ...circumstances });
          if (verdict.next === 'done') {
            expect(move.state).toBe('switching');
            expect(verdict.gapMs).toBeGreaterThanOrEqual(0);
          }
          // Nothing takes the order to stop back, and it is given once.
          if (move.state === 'switching')
            expect(['switch', 'prepare', 'ask-again']).not.toContain(verdict.next);
          if (verdict.next !== 'switch') return;
          expect(move).toMatchObject({ desired: 'running', locked: false, oldTold: false, oldEndedAt: null });
          expect(move.targetState).toBe('ready');
          expect(circumstances).toMatchObject({ targetHeard: true, targetFits: true });
          const timeIsUp = move.reason === 'drain' && move.onDeadline === 'stop';
          expect(move.state === 'prepared' || !move.prepare || timeIsUp).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
